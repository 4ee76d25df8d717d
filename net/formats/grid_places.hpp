#pragma once
// The grid on which patches put vertices and colours: one rule for all codecs and all regions.

#include "messages/map.hpp"

#include <cstdint>
#include <vector>

namespace tessera {

/// Steps of the position grid per voxel, and the step of each colour channel: 5 divides 255, so black and
/// white stay what they are. Measured on real frames at 2 cm in regions of 64 voxels
/// (tests/bench/patch_codec.cpp): what is lost is a 64th of a voxel and 2 of 255 levels, both far below the
/// noise of what cameras see.
inline constexpr float patch_steps_per_voxel = 32.f;
inline constexpr int patch_colour_step = 5;

/// Returns the edge of the position grid, in metres, for a map of the given voxel size.
constexpr float patch_quantum_m(float voxel_m) {
  return voxel_m / patch_steps_per_voxel;
}

/// Returns the colour step nearest to a channel of 8 bits: 0 to 51.
constexpr uint8_t patch_colour(uint8_t channel) {
  return static_cast<uint8_t>((channel + patch_colour_step / 2) / patch_colour_step);
}

/// The lattice edge that a vertex key names: it starts at voxel (at[0], at[1], at[2]) and runs along `axis`, 0 to 3, of which 3
/// is none.
struct lattice_edge {
  int32_t at[3];
  int32_t axis;
};
lattice_edge edge_of(uint64_t vertex_key);

/// Returns the nearest grid point of each vertex, three coordinates each. A vertex that falls on an end of its lattice edge is
/// put one step inside of it: so no two vertices of marching cubes are in one place, and none of its triangles is flat. This
/// looks at nothing but the vertex: whichever region it is seen from, it comes to the same place. Throws std::invalid_argument
/// for a coordinate that is not finite or 2^30 steps or more from the origin. Threads: any.
std::vector<int32_t> grid_places(const mesh& surface, float quantum_m);

} // namespace tessera
