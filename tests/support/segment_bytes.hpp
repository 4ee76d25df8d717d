#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace tessera::testing {

/// A segment to be written byte by byte, right or wrong.
struct segment_bytes {
  uint64_t timestamp_ns = 7;
  uint32_t point_count = 10;
  uint32_t channels = 3;
  uint32_t has_confidence = 0;
  bool long_form = true;
  std::array<float, 16> pose{1, 0, 0, 1, 0, 1, 0, 2, 0, 0, 1, 3, 0, 0, 0, 1};
  /// What the arrays are made for, whatever point_count says.
  uint32_t real_points = 10;
  float value = 1.5f;

  [[nodiscard]] std::vector<std::byte> bytes() const {
    std::vector<std::byte> out;
    auto put = [&](const auto& v) {
      auto at = out.size();
      out.resize(at + sizeof v);
      std::memcpy(out.data() + at, &v, sizeof v);
    };
    put(timestamp_ns);
    put(point_count);
    put(channels);
    if (long_form)
      put(has_confidence);
    put(pose);
    put(std::array<float, 6>{});
    for (uint32_t i = 0; i < 3 * real_points; ++i)
      put(value + static_cast<float>(i));
    for (uint32_t i = 0; i < channels * real_points; ++i)
      put(static_cast<uint8_t>(i));
    if (long_form && has_confidence != 0)
      for (uint32_t i = 0; i < real_points; ++i)
        put(0.25f + static_cast<float>(i));
    return out;
  }
};

} // namespace tessera::testing
