#pragma once

#include <array>

namespace tessera {

/// A rigid transform world_from_camera, row-major, metres: p_world = pose * p_camera. Element (row r, column c) is m[4 * r + c].
struct pose {
  std::array<float, 16> m{1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
  friend bool operator==(const pose&, const pose&) = default;
};

} // namespace tessera
