#pragma once
// A plane of the field, voxel by voxel: what pictures of it are made of.

#include "messages/ids.hpp"

#include <array>
#include <cstdint>
#include <limits>
#include <vector>

namespace tessera {

/// A plane of voxels across an axis, or a part of it.
struct field_plane {
  uint8_t axis = 2;  ///< 0 x, 1 y, 2 z
  int32_t layer = 0; ///< the coordinate on that axis of all its voxels
  /// The first and the last voxel that are wanted, on the two other axes in ascending order.
  std::array<int32_t, 2> low{std::numeric_limits<int32_t>::min(), std::numeric_limits<int32_t>::min()};
  std::array<int32_t, 2> high{std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::max()};
  friend bool operator==(const field_plane&, const field_plane&) = default;
};

/// The axes along which a plane across `axis` lies: across and up in a picture.
constexpr std::array<size_t, 2> axes_along(size_t axis) {
  return {axis == 0 ? size_t{1} : size_t{0}, axis == 2 ? size_t{1} : size_t{2}};
}

/// A coordinate of a region's key.
constexpr int32_t on_axis(const region_key& region, size_t axis) {
  return axis == 0 ? region.x : axis == 1 ? region.y : region.z;
}

/// A region's own voxels in a plane: R x R of them for regions of R voxels, the first of the plane's axes fastest.
struct region_slice {
  region_key region;
  /// Mean distance to the surface along the rays, in truncations; positive on the observed side.
  std::vector<float> distances;
  /// Sum of the samples' weights; 0: not observed, and the other two mean nothing.
  std::vector<uint32_t> weights;
  /// Mean colour, sRGB, 3 bytes a voxel.
  std::vector<uint8_t> colours;
};

/// What regions have in a plane; those without an observed voxel in it are left out.
struct field_slice {
  /// Sorted by region. None if more are cut than most_slice_regions() (gpu/region_slices.hpp) allows.
  std::vector<region_slice> parts;
  uint64_t cut = 0; ///< regions that the plane goes through
};

} // namespace tessera
