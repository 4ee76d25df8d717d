#pragma once

#include "gpu/cuda/device.hpp"
#include "gpu/cuda/device/buffer.hpp"
#include "gpu/host/host_memory.hpp"

#include <algorithm>
#include <cstddef>
#include <span>

namespace tessera::cuda {

/// A keyframe's points in pinned memory, and behind them the colours: one copy brings both.
template <device_like Device>
class pinned_body final : public page_locked_body {
public:
  pinned_body(Device& device, const keyframe_body& from)
    : points_(device, from.points().size_bytes() + from.colours().size_bytes()), confidence_(device, from.confidence().size()),
      size_(from.size()), channels_(from.channels()), has_confidence_(!from.confidence().empty()) {
    const auto points = std::as_bytes(from.points()), colours = std::as_bytes(from.colours());
    std::copy(points.begin(), points.end(), points_.data());
    std::copy(colours.begin(), colours.end(), points_.data() + points.size());
    std::copy(from.confidence().begin(), from.confidence().end(), confidence_.data());
  }
  [[nodiscard]] bool page_locked() const override { return true; }
  [[nodiscard]] std::span<const float> points() const override {
    return {reinterpret_cast<const float*>(points_.data()), 3 * size_};
  }
  [[nodiscard]] std::span<const uint8_t> colours() const override {
    return {reinterpret_cast<const uint8_t*>(points_.data()) + 12 * size_, channels_ * size_};
  }
  [[nodiscard]] uint32_t channels() const override { return channels_; }
  [[nodiscard]] std::span<const float> confidence() const override { return {confidence_.data(), has_confidence_ ? size_ : 0}; }

private:
  pinned_buffer<Device, std::byte> points_;
  pinned_buffer<Device, float> confidence_;
  size_t size_;
  uint32_t channels_;
  bool has_confidence_;
};

} // namespace tessera::cuda
