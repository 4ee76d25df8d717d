#pragma once

#include "gpu/cuda/buffer.hpp"
#include "gpu/cuda/device.hpp"
#include "gpu/fields.hpp"
#include "messages/ray.hpp"

#include <atomic>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace tessera::cuda {

/// Rays in a device's memory, lent to another one.
template <device_like Device>
class lent_rays final : public handed_rays {
public:
  using memory = device_buffer<Device, ray>;
  lent_rays(Device& owner, std::shared_ptr<const memory> held, const ray* rays, size_t count)
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

/// Memory for rays that are lent. What nobody holds any more is used again. Threads: one; who lets go may be in another.
template <device_like Device>
class lending_pool {
public:
  using memory = device_buffer<Device, ray>;
  explicit lending_pool(Device& device) : device_(device) {}

  /// Room for so many rays. The first call makes `at_first` pieces: allocating later would hold up what is under way.
  std::shared_ptr<memory> take(size_t rays, size_t at_first) {
    while (pieces_.size() < at_first)
      pieces_.push_back(std::make_shared<memory>(device_, rays));
    for (auto& piece : pieces_)
      if (piece.use_count() == 1) {
        std::atomic_thread_fence(std::memory_order_acquire); // after whatever the last one did that let go of it
        piece->ensure(rays);
        return piece;
      }
    pieces_.push_back(std::make_shared<memory>(device_, rays));
    return pieces_.back();
  }

private:
  Device& device_;
  std::vector<std::shared_ptr<memory>> pieces_;
};

} // namespace tessera::cuda
