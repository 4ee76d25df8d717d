#pragma once
// A slice of the field as a picture for people.

#include "messages/slice.hpp"
#include "net/formats/image.hpp"
#include "net/formats/slice_options.hpp"

namespace tessera {

/// What a picture must know of the map.
struct slice_map {
  float voxel_m = 0, truncation_m = 0;
  uint32_t region_voxels = 0;
};

/// Draws panels side by side (one above the other if they are very wide): the distance in red and blue about a white zero, the
/// weight on a logarithmic scale, the colour; each with axes in metres and a scale. Where the distance is 0 between observed
/// voxels is a line: the surface. What was not observed is hatched. A voxel is a square of so many pixels; where there are more
/// voxels than pixels a pixel shows the one that is nearest to the surface.
///
/// Throws std::invalid_argument if there is nothing in the slice; std::bad_alloc.
colour_image draw_slice(const field_slice& slice, const field_plane& plane, const slice_options& options, const slice_map& map);

} // namespace tessera
