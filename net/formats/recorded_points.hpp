#pragma once
// How the points of a keyframe lie in a recording's foxglove.PointCloud: for what writes and reads it (recorded_input.hpp).

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

namespace tessera {

/// Of foxglove.PackedElementField.NumericType.
inline constexpr uint64_t uint8_type = 1, float32_type = 7;

/// The values of a point that are read: where each begins in the point's bytes.
struct point_layout {
  struct element {
    std::string_view name;
    uint64_t type;
    bool needed;
    std::optional<uint32_t> at{};
    [[nodiscard]] uint32_t size() const { return type == float32_type ? 4 : 1; }
  };
  uint32_t stride = 0;
  std::array<element, 8> elements{{{"x", float32_type, true},
                                   {"y", float32_type, true},
                                   {"z", float32_type, true},
                                   {"red", uint8_type, true},
                                   {"green", uint8_type, true},
                                   {"blue", uint8_type, true},
                                   // A producer's fourth channel means nothing; called alpha it would make points vanish.
                                   {"fourth", uint8_type, false},
                                   {"confidence", float32_type, false}}};
  element& fourth() { return elements[6]; }
  element& confidence() { return elements[7]; }
};

/// Copies one value of every point from or to an array of values that lie `step` bytes apart.
inline void copy_each(char* to, size_t to_step, const char* from, size_t from_step, size_t size, size_t count) {
  if (size == 4)
    for (size_t i = 0; i < count; ++i)
      std::memcpy(to + i * to_step, from + i * from_step, 4);
  else
    for (size_t i = 0; i < count; ++i)
      to[i * to_step] = from[i * from_step];
}

} // namespace tessera
