#pragma once
// Which way is up, and the rotation that takes the map there: "Orientation" in docs/protocol.md. The viewer's orientation.ts does
// the same.

#include "messages/pose.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace tessera {

/// A direction in the map, of length 1.
using direction = std::array<double, 3>;

/// x, y, z, w; of length 1.
using quaternion = std::array<double, 4>;

/// A camera's own up, and the map's where nothing else is known.
inline constexpr direction camera_up{0, -1, 0};

/// Estimates up from cameras, which are added and taken away in any order.
class up_estimate {
public:
  void add(const pose& world_from_camera) { count(world_from_camera, 1); }
  void remove(const pose& world_from_camera) { count(world_from_camera, -1); }
  [[nodiscard]] direction up() const;

private:
  void count(const pose& world_from_camera, int sign);

  int64_t cameras_ = 0;
  direction up_{};                 ///< sum of -y axes
  std::array<double, 9> spread_{}; ///< sum of x x^T over x axes
};

/// Returns the rotation that takes a map with that up to y-up.
quaternion upright(const direction& up);

/// Rotates a vector.
std::array<float, 3> turned(const quaternion& by, const float* xyz);

/// Returns the direction that `x`, `-x`, ... `-z` (or `+x`, ...) names, or nothing.
std::optional<direction> axis_named(std::string_view name);

} // namespace tessera
