#pragma once
// The lattice: voxel v is the sample at v * voxel_m. Blocks are 8^3 voxels. Regions are R^3 voxels and also keep an apron.

#include "gpu/shared/portable.hpp"

#include <cstdint>

namespace tessera::lattice {

/// Voxels along a block's edge, and in a block.
inline constexpr int32_t block_edge = 8, block_voxels = 512;

/// The map reaches this many voxels from the origin on each axis.
inline constexpr int32_t map_limit = 1 << 19;

/// A region also keeps this many voxels beyond its far faces: one for the corners of its last cells, one for normals there.
inline constexpr int32_t apron = 2;

/// Index of a voxel within its block: x fastest.
TESSERA_HD int32_t voxel_in_block(int32_t x, int32_t y, int32_t z) {
  return (z & 7) << 6 | (y & 7) << 3 | (x & 7);
}

/// Rounds towards minus infinity; b > 0.
TESSERA_HD int32_t floor_div(int32_t a, int32_t b) {
  const int32_t q = a / b;
  return q - (a % b < 0 ? 1 : 0);
}

/// Place of a mesh vertex: the lattice edge that starts at voxel (x, y, z) and runs along `axis` (0 x, 1 y, 2 z).
/// Keys sort in canonical order: block (z, y, x), voxel in block, axis.
TESSERA_HD uint64_t vertex_key(int32_t x, int32_t y, int32_t z, int32_t axis) {
  const auto block = [](int32_t v) { return static_cast<uint64_t>((v >> 3) + (map_limit >> 3)) & 0x1ffff; };
  return block(z) << 45 | block(y) << 28 | block(x) << 11 | static_cast<uint64_t>(voxel_in_block(x, y, z)) << 2
         | static_cast<uint64_t>(axis);
}

} // namespace tessera::lattice
