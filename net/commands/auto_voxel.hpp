#pragma once

#include "actors/intake/keyframe_check.hpp"
#include "gpu/map_settings.hpp"
#include "messages/keyframe.hpp"

#include <optional>
#include <string>

namespace tessera {

/// How a map of unknown scale gets its voxel size, and with it what follows from it: from the first keyframe that it could take.
struct auto_voxel {
  /// Bounds of the size, metres.
  float least_m = 0.0001f, most_m = 100.f;
  /// Ranges that somebody set hold; others get the ratios to the voxel that their defaults have.
  bool keep_min_range = false, keep_max_range = false;
  keyframe_limits limits = {};
};

/// What a keyframe says: a map that suits it, or why it must not choose.
struct voxel_choice {
  std::optional<map_settings> map;
  std::optional<keyframe_fault> fault; ///< it is bad, and the map would refuse it, too
  std::string torn;                    ///< its points changed while they were read
};

/// Derives a map from a keyframe that it would take: checks it, picks the size from the points that `base` lets through, and
/// makes the rays to see that there are any.
voxel_choice choose_voxel(const keyframe& frame, const map_settings& base, const auto_voxel& how);

/// "voxel-size 0.02 m, truncation 0.06 m, ...", for the log.
std::string describe(const map_settings& map);

} // namespace tessera
