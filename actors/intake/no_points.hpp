#pragma once

#include "gpu/fields.hpp"

#include <string>

namespace tessera {

/// Says why not one of a keyframe's points can be used: how many were left out for what, and the bounds. `beyond`: rays that
/// would leave the map.
std::string no_points_text(const map_settings& map, const ray_counts& counts, uint64_t beyond);

} // namespace tessera
