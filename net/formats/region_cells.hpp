#pragma once
// What marching cubes needs to make a region's surface again: its cells' cases and where edges are crossed (docs/cells.md).

#include "messages/map.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace tessera {

/// A cell that has triangles, by its lowest corner.
struct surface_cell {
  uint16_t place = 0; ///< in its block, 0 to 511: x fastest
  uint8_t inside = 0; ///< bit c: corner (c & 1, c >> 1 & 1, c >> 2) is inside; neither none nor all
  friend bool operator==(const surface_cell&, const surface_cell&) = default;
};

/// A vertex: where the surface crosses a lattice edge, and its colour there.
struct crossed_edge {
  uint16_t edge = 0;               ///< 3 * (place of its lower end in its block) + axis, 0 to 1535
  uint8_t fraction = 0;            ///< of the way to the upper end, in 32nds: 1 to 31
  std::array<uint8_t, 3> colour{}; ///< in steps of patch_colour_step: 0 to 51
  friend bool operator==(const crossed_edge&, const crossed_edge&) = default;
};

/// A region's surface as records of its blocks. The blocks of a region of R voxels are R/8 + 1 on each axis: edges, but no
/// cells, also lie in those just beyond its far faces. A block that has neither has no record.
struct region_cells {
  struct block {
    uint32_t slot = 0;                           ///< (z * (R/8 + 1) + y) * (R/8 + 1) + x
    uint32_t end_of_cells = 0, end_of_edges = 0; ///< in the lists below; they begin where those of the block before end
    friend bool operator==(const block&, const block&) = default;
  };
  region_key region;
  uint64_t version = 0;
  int32_t region_voxels = 0;       ///< R: a multiple of 8 from 8 to 256
  std::vector<block> blocks;       ///< by slot
  std::vector<surface_cell> cells; ///< of each block, by place
  /// Of each block, by edge; just those that the cells of the region use.
  std::vector<crossed_edge> edges;
  [[nodiscard]] size_t triangles() const;
  friend bool operator==(const region_cells&, const region_cells&) = default;
};

/// Returns what makes the surface again on the grid of patches (grid_places), triangle for triangle; nothing if this is not the
/// mesh of a region of that many voxels, in canonical order and by the table of marching cubes, or if it lies so far from the
/// origin that its floats are coarser than the grid: beyond some 2^18 voxels. Throws std::invalid_argument as grid_places
/// does. Threads: any.
std::optional<region_cells> cells_of(const region_mesh& from, float voxel_m, int32_t region_voxels);

/// Triangles as a client draws them.
struct grid_triangles {
  std::vector<int32_t> places;  ///< three a vertex; times quantum_m: metres
  std::vector<uint8_t> colours; ///< sRGB, three a vertex
  std::vector<uint32_t> indices;
  friend bool operator==(const grid_triangles&, const grid_triangles&) = default;
};

/// Runs marching cubes: vertices and triangles in the canonical order of docs/field.md. The cells must be those of cells_of or of
/// decode_cells. Threads: any.
grid_triangles triangles_of(const region_cells& cells);

/// A block and 64 bits that differ where its record does: who keeps them need not keep the cells.
struct block_digest {
  uint32_t slot = 0;
  uint64_t digest = 0;
  friend bool operator==(const block_digest&, const block_digest&) = default;
};

/// Returns those of all blocks that have a record, by slot.
std::vector<block_digest> digests_of(const region_cells& cells);

/// The blocks in which a region differs from an older version of it.
struct changed_blocks {
  uint64_t base_version = 0;
  std::vector<uint32_t> slots; ///< ascending
  friend bool operator==(const changed_blocks&, const changed_blocks&) = default;
};

/// Returns the blocks whose records differ, those that only one of the two has among them. Both must be of one region.
changed_blocks changes_between(const region_cells& base, const region_cells& now);
changed_blocks changes_between(uint64_t base_version, std::span<const block_digest> base, std::span<const block_digest> now);

} // namespace tessera
