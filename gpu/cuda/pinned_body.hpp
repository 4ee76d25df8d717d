#pragma once

#include "gpu/cuda/buffer.hpp"
#include "gpu/cuda/device.hpp"
#include "gpu/host_memory.hpp"

#include <algorithm>

namespace tessera::cuda {

/// A keyframe's points in pinned memory.
template <device_like Device>
class pinned_body final : public page_locked_body {
public:
  pinned_body(Device& device, const keyframe_body& from)
    : points_(device, from.points().size()), colours_(device, from.colours().size()),
      confidence_(device, from.confidence().size()), size_(from.size()), channels_(from.channels()),
      has_confidence_(!from.confidence().empty()) {
    std::copy(from.points().begin(), from.points().end(), points_.data());
    std::copy(from.colours().begin(), from.colours().end(), colours_.data());
    std::copy(from.confidence().begin(), from.confidence().end(), confidence_.data());
  }
  [[nodiscard]] bool page_locked() const override { return true; }
  [[nodiscard]] std::span<const float> points() const override { return {points_.data(), 3 * size_}; }
  [[nodiscard]] std::span<const uint8_t> colours() const override { return {colours_.data(), channels_ * size_}; }
  [[nodiscard]] uint32_t channels() const override { return channels_; }
  [[nodiscard]] std::span<const float> confidence() const override { return {confidence_.data(), has_confidence_ ? size_ : 0}; }

private:
  pinned_buffer<Device, float> points_;
  pinned_buffer<Device, uint8_t> colours_;
  pinned_buffer<Device, float> confidence_;
  size_t size_;
  uint32_t channels_;
  bool has_confidence_;
};

} // namespace tessera::cuda
