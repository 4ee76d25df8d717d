#pragma once

#include <array>

namespace tessera {

/// A rigid transform world_from_camera, row-major, metres: p_world = pose * p_camera. Element (row r, column c) is m[4 * r + c].
struct pose {
  std::array<float, 16> m{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
  friend bool operator==(const pose&, const pose&) = default;
};

/// How far a pose's last row may be from 0 0 0 1, and its rotation from a rotation, element by element: room for matrices that
/// went through 32-bit inversions and products. The last row is checked and not used.
inline constexpr float pose_tolerance = 1e-3f;

} // namespace tessera
