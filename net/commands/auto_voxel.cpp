#include "net/commands/auto_voxel.hpp"

#include "actors/intake/no_points.hpp"
#include "actors/intake/voxel_size.hpp"
#include "gpu/rays.hpp"

#include <algorithm>
#include <sstream>
#include <stdexcept>

namespace tessera {

namespace {

std::string no_distance(const keyframe& frame, const map_settings& base, const auto_voxel& how) {
  std::ostringstream out;
  out << "none of its " << frame.body->size()
      << " points tells how large a voxel should be: they are not finite, or at the camera";
  if (how.keep_min_range)
    out << ", or nearer than " << base.min_range_m << " m (min-range)";
  if (how.keep_max_range)
    out << ", or farther than " << base.max_range_m << " m (max-range)";
  if (!frame.body->confidence().empty())
    out << ", or of a confidence below " << base.min_confidence << " (min-confidence)";
  return out.str();
}

} // namespace

voxel_choice choose_voxel(const keyframe& frame, const map_settings& base, const auto_voxel& how) {
  voxel_choice out;
  out.fault = check_keyframe(frame, how.limits);
  if (out.fault)
    return out;
  voxel_size_limits usable;
  if (how.keep_min_range)
    usable.min_range_m = base.min_range_m;
  if (how.keep_max_range)
    usable.max_range_m = base.max_range_m;
  usable.min_confidence = base.min_confidence;
  const auto size = auto_voxel_m(frame, usable);

  map_settings map = base;
  map.voxel_m = std::clamp(size, how.least_m, how.most_m);
  map.truncation_m = 3 * map.voxel_m;
  // The ratios that the fixed defaults have at the default voxel size.
  if (!how.keep_min_range)
    map.min_range_m = std::min(map.voxel_m, how.keep_max_range ? map.max_range_m / 2 : map.voxel_m);
  if (!how.keep_max_range)
    map.max_range_m = std::max(2000 * map.voxel_m, 2 * map.min_range_m);
  ray_counts counts;
  uint64_t beyond = 0;
  auto empty = true;
  std::string too_much;
  if (size > 0) {
    try {
      const auto rays = make_rays(map, *frame.body, frame.world_from_camera, counts);
      empty = rays.empty() || partition_rays(map, rays, frame.world_from_camera, beyond).parts.empty();
    } catch (const std::runtime_error& e) { // it would write more than one keyframe may
      too_much = e.what();
    }
  }
  if (auto torn = frame.body->torn(); !torn.empty())
    out.torn = std::move(torn); // whatever was read means nothing
  else if (!too_much.empty())
    out.fault = keyframe_fault{refusal::points, std::move(too_much)};
  else if (empty)
    out.fault = keyframe_fault{refusal::empty, size > 0 ? no_points_text(map, counts, beyond) : no_distance(frame, base, how)};
  else
    out.map = map;
  return out;
}

std::string describe(const map_settings& map) {
  std::ostringstream out;
  out << "voxel-size " << map.voxel_m << " m, truncation " << map.truncation_m << " m, min-range " << map.min_range_m
      << " m, max-range " << map.max_range_m << " m";
  return out.str();
}

} // namespace tessera
