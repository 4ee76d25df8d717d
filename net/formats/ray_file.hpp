#pragma once

#include "messages/pose.hpp"
#include "messages/ray.hpp"

#include <iosfwd>
#include <span>
#include <string>

namespace tessera {

/// Writes a keyframe's rays as a PLY of points, binary, little-endian: each ray's end in the world (float x y z, metres), the
/// direction from there to the camera (float nx ny nz), its colour (uchar red green blue, sRGB), the number of points that are
/// bundled in it (uchar points, 255 at most), and the weight that it has in the field (float quality, 4 to 124). Name, camera and
/// voxel size are comments. Check the stream for failed writes.
void write_rays(std::ostream& out, std::span<const ray> rays, const pose& world_from_camera, float voxel_m,
                const std::string& name);

} // namespace tessera
