#pragma once

#include "messages/keyframe.hpp"

#include <limits>

namespace tessera {

/// Which points count when a voxel size is chosen: none nearer or farther than this, in metres of the keyframe's own scale, none
/// with less confidence.
struct voxel_size_limits {
  float min_range_m = 0, max_range_m = std::numeric_limits<float>::max();
  float min_confidence = std::numeric_limits<float>::lowest();
};

/// Picks a voxel edge for a map whose scale is unknown: a hundredth of the median distance of the keyframe's points from its
/// camera, rounded to the nearest 1, 2 or 5 times a power of ten. 0 if no point counts.
float auto_voxel_m(const keyframe& frame, const voxel_size_limits& limits = {});

} // namespace tessera
