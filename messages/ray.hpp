#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace tessera {

/// What a keyframe's points in one cell of its own voxel-sized grid come to: the end point of a ray from the camera, in the
/// keyframe's own frame and scale. 16 bytes; does not depend on the pose. This is what is stored, sent to regions, undone and
/// moved.
struct ray {
  /// Mean end point in the camera's frame, in 1/256 voxel of the keyframe's own scale.
  int32_t x = 0, y = 0, z = 0;
  /// Mean colour, sRGB.
  uint8_t r = 0, g = 0, b = 0;
  /// Number of points in the cell, 255 at most.
  uint8_t points = 0;
  friend bool operator==(const ray&, const ray&) = default;
};
static_assert(sizeof(ray) == 16);

/// Units of ray coordinates per voxel.
inline constexpr int32_t ray_units_per_voxel = 256;

/// An immutable batch of rays, shared without copying inside a process.
struct ray_batch {
  std::shared_ptr<const std::vector<ray>> rays = std::make_shared<const std::vector<ray>>();
};

} // namespace tessera
