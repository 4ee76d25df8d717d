#include "actors/intake/no_points.hpp"

#include <sstream>

namespace tessera {

std::string no_points_text(const map_settings& map, const ray_counts& counts, uint64_t beyond) {
  std::ostringstream out;
  const char* before = "no point can be used: ";
  const auto add = [&](uint64_t count) -> std::ostream& {
    out << before << count;
    before = ", ";
    return out;
  };
  if (counts.not_finite > 0)
    add(counts.not_finite) << " not finite";
  if (counts.out_of_range > 0)
    add(counts.out_of_range) << " out of range, which is " << map.min_range_m << " to " << map.max_range_m
                             << " m from the camera (min-range, max-range)";
  if (counts.low_confidence > 0)
    add(counts.low_confidence) << " of a confidence below " << map.min_confidence << " (min-confidence)";
  if (counts.beyond_map + beyond > 0)
    add(counts.beyond_map + beyond) << " beyond the map, which ends 2^19 voxels of " << map.voxel_m << " m from the origin";
  return out.str();
}

} // namespace tessera
