#pragma once
// From the world into a keyframe's own frame and scale (docs/field.md, "Rays").

#include "messages/pose.hpp"

namespace tessera {

/// A point p of the world is at inverse * (p - camera) for the keyframe.
struct own_frame {
  float inverse[9]; ///< of the pose's 3 x 3 part, row-major
  float camera[3];  ///< in the world, metres
};

/// The inverse of a rotation times a scale is its transpose divided by the square of the scale; of a rotation alone, its very
/// transpose.
inline own_frame make_own_frame(const pose& world_from_camera) {
  own_frame out{};
  const auto& m = world_from_camera.m;
  const double squared = squared_scale(world_from_camera);
  for (unsigned r = 0; r < 3; ++r) {
    for (unsigned c = 0; c < 3; ++c)
      out.inverse[3 * r + c] = static_cast<float>(static_cast<double>(m[4 * c + r]) / squared);
    out.camera[r] = m[4 * r + 3];
  }
  return out;
}

} // namespace tessera
