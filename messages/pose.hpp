#pragma once

#include <array>

namespace tessera {

/// A similarity world_from_camera, row-major, metres: p_world = pose * p_camera. Element (row r, column c) is m[4 * r + c]. Its
/// 3 x 3 part is a rotation times the pose's scale: so many times as long is in the map what is 1 long for the keyframe itself.
struct pose {
  std::array<float, 16> m{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
  friend bool operator==(const pose&, const pose&) = default;
};

/// Where the camera is, metres.
inline std::array<float, 3> position_of(const pose& p) {
  return {p.m[3], p.m[7], p.m[11]};
}

/// How far a pose's last row may be from 0 0 0 1, and its 3 x 3 part, divided by its scale, from a rotation, element by element:
/// room for matrices that went through 32-bit inversions and products. The last row is checked and not used.
inline constexpr float pose_tolerance = 1e-3f;

/// What a pose's scale may be.
inline constexpr double least_scale = 0.01, largest_scale = 100;

/// The mean of the squared lengths of a pose's first three columns. As docs/field.md has it, to the last bit.
inline double mean_squared_column(const pose& p) {
  double sum = 0;
  for (const auto i : {0u, 1u, 2u, 4u, 5u, 6u, 8u, 9u, 10u})
    sum += static_cast<double>(p.m[i]) * static_cast<double>(p.m[i]);
  return sum / 3;
}

/// The square of a pose's scale: the above, but exactly 1 where that is 1 within pose_tolerance, as it is of rotations that were
/// rounded.
inline double squared_scale(const pose& p) {
  const auto mean = mean_squared_column(p);
  const auto off = mean - 1;
  return off <= static_cast<double>(pose_tolerance) && -off <= static_cast<double>(pose_tolerance) ? 1.0 : mean;
}

} // namespace tessera
