#pragma once

#include "gpu/cuda/device.hpp"
#include "gpu/cuda/device/buffer.hpp"
#include "gpu/fields.hpp"
#include "messages/ray.hpp"

#include <memory>
#include <span>
#include <utility>

namespace tessera::cuda {

/// Peer rays in the memory of the device that made them.
template <device_like Device>
class device_peer_rays final : public peer_rays {
public:
  using memory = device_buffer<Device, ray>;
  device_peer_rays(Device& owner, std::shared_ptr<const memory> held, const ray* rays, size_t count)
    : owner_(owner), held_(std::move(held)), rays_(rays), count_(count) {}
  [[nodiscard]] size_t size() const override { return count_; }
  [[nodiscard]] Device& owner() const { return owner_; }
  [[nodiscard]] std::span<const ray> rays() const { return {rays_, count_}; } ///< in the owner's memory

private:
  Device& owner_;
  std::shared_ptr<const memory> held_;
  const ray* rays_;
  size_t count_;
};

} // namespace tessera::cuda
