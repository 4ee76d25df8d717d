#pragma once
// A plane of a region's field, for people to look at.

#include "gpu/fields.hpp"
#include "gpu/map_settings.hpp"
#include "messages/slice.hpp"

#include <cstdint>
#include <functional>

namespace tessera {

/// Voxels of all regions that one slice may go through: some 11 bytes each.
inline constexpr uint64_t most_slice_voxels = uint64_t{1} << 23;

/// Regions that one slice may go through.
uint64_t most_slice_regions(const map_settings& map);

/// Whether the wanted part of a plane goes through voxels that a region owns.
bool goes_through(const map_settings& map, const field_plane& plane, region_key region);

/// What a region's image has in a plane that goes through it; without voxels if none of them is observed. Throws std::bad_alloc.
region_slice slice_of(const map_settings& map, region_key region, const region_image& image, const field_plane& plane);

/// Asks fields for a region's slice, as they are asked for its image, of which no more than the slice is kept. The answer's
/// exception is as export_region() says.
void slice_region(async_fields& fields, const map_settings& map, region_key region, const field_plane& plane,
                  std::function<void(region_slice, std::exception_ptr)> answer);

} // namespace tessera
