#pragma once

#include "gpu/fields.hpp"

namespace tessera {

/// Throws std::invalid_argument that says why, if an image is none of a region of such a map: the region lies beyond the map, the
/// blocks do not ascend or are none of a region's, or there are not 512 voxels for each.
void check_image(const map_settings& map, region_key region, const region_image& image);

/// What a region holds that has what both images say. Throws std::bad_alloc.
region_image sum_of(const region_image& a, const region_image& b);

} // namespace tessera
