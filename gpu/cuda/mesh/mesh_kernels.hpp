#pragma once
// Marching cubes of whole regions (docs/field.md, "Extract"), in canonical order. Signs and observations become bits first; then
// a row of eight cells is a few operations on words: which are active, which edges have a vertex, how many come before.

#include "gpu/cuda/fields/block_kernels.hpp"
#include "gpu/shared/marching_cubes.hpp"
#include "gpu/shared/vertex.hpp"

#include <cstdint>

namespace tessera::cuda {

/// Triangles of one case, as kernels read them.
struct case_row {
  uint8_t count;
  uint8_t edges[15];
};

/// What meshing keeps of a listed block, by row: rows run along x, row z * 8 + y.
struct alignas(16) block_rows {
  uint8_t inside[64], observed[64]; ///< a bit for each voxel
  uint8_t active[64];               ///< a bit for each cell that has triangles
  uint8_t corners[64];              ///< of the row's triangles
  uint32_t edges[64];               ///< bit 3 * x + axis: the edge has a vertex
  uint16_t first_vertex[64];        ///< how many of the layer, which is eight rows, come before
  uint16_t first_corner[64];
  uint16_t layer_vertices[8], layer_corners[8];

  /// How many of the block come before a row.
  [[nodiscard]] TESSERA_HD uint32_t vertices_before(uint32_t row) const {
    uint32_t n = first_vertex[row];
    for (uint32_t layer = 0; layer < 7; ++layer)
      n += layer < row / 8 ? layer_vertices[layer] : 0u;
    return n;
  }
  [[nodiscard]] TESSERA_HD uint32_t corners_before(uint32_t row) const {
    uint32_t n = first_corner[row];
    for (uint32_t layer = 0; layer < 7; ++layer)
      n += layer < row / 8 ? layer_corners[layer] : 0u;
    return n;
  }
};

/// How many vertices and corners there are, in one word, so that one scan adds up both.
struct mesh_count {
  uint64_t both;
  [[nodiscard]] TESSERA_HD uint32_t vertices() const { return static_cast<uint32_t>(both); }
  [[nodiscard]] TESSERA_HD uint32_t corners() const { return static_cast<uint32_t>(both >> 32); }
};

/// What meshing says of itself. All zero before.
struct mesh_state {
  list_state list; ///< of the blocks that are meshed
  uint32_t rows;   ///< of these that have vertices or triangles
  uint32_t vertices, corners;
};

/// What meshing works with.
struct mesh_scratch {
  const case_row* cases;
  block_rows* rows;    ///< by place in the list
  uint32_t* used_rows; ///< those of all blocks that have vertices or triangles: place in the list * 64 + row
  mesh_count* counts;  ///< by region index * table size + entry
  mesh_count* befores; ///< how much comes before, in that order; and one more: all
  mesh_state* state;
  const uint32_t* region_count;
  uint32_t most_regions; ///< that there is room for; if there are more, nothing is meshed

  [[nodiscard]] TESSERA_HD bool has_room() const { return *region_count <= most_regions; }
};

/// Item: an entry of a chosen region's table. Lists its block, of which nothing is counted yet; unless there are more regions
/// than there is room for.
struct list_for_meshing {
  list_blocks inner;
  mesh_scratch scratch;
  uint32_t* noted; ///< by slot: a mark of the region that goes now; null if there are none
  TESSERA_HD void operator()(uint64_t i) const {
    if (noted != nullptr && i % inner.field.table_size == 0)
      noted[inner.list.regions[i / inner.field.table_size]] = 0;
    if (!scratch.has_room())
      return;
    inner(i);
    scratch.counts[i].both = 0;
  }
};

/// Looks voxels of a chosen region up, by places relative to its first voxel.
struct region_reader {
  field_view field;
  const uint32_t* table;

  [[nodiscard]] TESSERA_HD const voxel_words* at(int32_t x, int32_t y, int32_t z) const {
    const auto wide = static_cast<int32_t>(field.edge * 8);
    if (x < 0 || y < 0 || z < 0 || x >= wide || y >= wide || z >= wide)
      return nullptr;
    const uint32_t block = table[field.entry_of(x, y, z)];
    return block != no_block ? field.words + (block - 1) * uint64_t{512} + static_cast<uint32_t>(lattice::voxel_in_block(x, y, z))
                             : nullptr;
  }
  /// Mean distance.
  [[nodiscard]] TESSERA_HD float distance(int32_t x, int32_t y, int32_t z) const {
    const voxel_words* v = at(x, y, z);
    return v != nullptr ? mean_distance(v->w0, v->w1) : unobserved;
  }
};

/// A colour, or anything else of three numbers, by element.
struct three {
  float of[3];
  TESSERA_HD float operator[](int k) const { return of[k]; }
  friend TESSERA_HD three operator+(three a, three b) { return {a.of[0] + b.of[0], a.of[1] + b.of[1], a.of[2] + b.of[2]}; }
  friend TESSERA_HD three operator-(three a, three b) { return {a.of[0] - b.of[0], a.of[1] - b.of[1], a.of[2] - b.of[2]}; }
  friend TESSERA_HD three operator+(three a, float b) { return {a.of[0] + b, a.of[1] + b, a.of[2] + b}; }
  friend TESSERA_HD three operator*(three a, float b) { return {a.of[0] * b, a.of[1] * b, a.of[2] * b}; }
  friend TESSERA_HD three operator/(three a, float b) { return {a.of[0] / b, a.of[1] / b, a.of[2] / b}; }
};

/// The voxels about an edge, as make_vertex asks for them.
struct edge_voxels {
  const region_reader& region;
  int32_t ends[2][3];

  [[nodiscard]] TESSERA_HD float distance(int end) const { return region.distance(ends[end][0], ends[end][1], ends[end][2]); }
  [[nodiscard]] TESSERA_HD float ahead(int end, int axis) const { return beside(end, axis, 1); }
  [[nodiscard]] TESSERA_HD float behind(int end, int axis) const { return beside(end, axis, -1); }
  [[nodiscard]] TESSERA_HD three colour(int end) const {
    const voxel_words& v = *region.at(ends[end][0], ends[end][1], ends[end][2]);
    return mean_colour<three>(v.w0, v.w1, v.w2);
  }

private:
  [[nodiscard]] TESSERA_HD float beside(int end, int axis, int32_t step) const {
    return region.distance(ends[end][0] + (axis == 0 ? step : 0), ends[end][1] + (axis == 1 ? step : 0),
                           ends[end][2] + (axis == 2 ? step : 0));
  }
};

/// A row of a listed block, and the way to the rows around it.
struct row_place {
  uint64_t block; ///< place in the list
  uint32_t y, z;
  int32_t bx, by, bz;
  uint64_t first_entry; ///< of the region's

  TESSERA_HD row_place(const field_view& field, const block_list& list, uint64_t item)
    : block(item / 64), y(item % 8), z(item / 8 % 8) {
    const listed_block& in = list.blocks[block];
    bx = static_cast<int32_t>(in.entry % field.edge);
    by = static_cast<int32_t>(in.entry / field.edge % field.edge);
    bz = static_cast<int32_t>(in.entry / field.edge / field.edge);
    first_entry = in.region * uint64_t{field.table_size};
  }
  /// The rows of the block at an offset, null if there is none, and `row` there.
  TESSERA_HD const block_rows* around(const field_view& field, const block_list& list, const block_rows* rows, int32_t dx,
                                      int32_t dy, int32_t dz, uint32_t& row) const {
    const int32_t ry = static_cast<int32_t>(y) + dy, rz = static_cast<int32_t>(z) + dz;
    row = static_cast<uint32_t>((rz & 7) << 3 | (ry & 7));
    const int32_t ox = dx, oy = ry >> 3, oz = rz >> 3;
    if ((ox | oy | oz) == 0)
      return rows + block;
    const int32_t x = bx + ox, yy = by + oy, zz = bz + oz, edge = static_cast<int32_t>(field.edge);
    if (x < 0 || yy < 0 || zz < 0 || x >= edge || yy >= edge || zz >= edge)
      return nullptr;
    const uint32_t at = list.place[first_entry + static_cast<uint32_t>((zz * edge + yy) * edge + x)];
    return at != 0 ? rows + (at - 1) : nullptr;
  }
};

/// Item: a row of a listed block. Makes the bits of its voxels.
struct read_rows {
  field_view field;
  block_list list;
  mesh_scratch scratch;

  TESSERA_HD void operator()(uint64_t i) const {
    const voxel_words* voxels = field.words + list.blocks[i / 64].block * uint64_t{512} + i % 64 * 8;
    uint32_t inside = 0, observed = 0;
    for (uint32_t x = 0; x < 8; ++x) {
      const uint64_t w0 = voxels[x].w0;
      inside |= static_cast<uint32_t>(w0 >> 63) << x;
      observed |= static_cast<uint32_t>(sample_count(w0) != 0) << x;
    }
    block_rows& out = scratch.rows[i / 64];
    out.inside[i % 64] = static_cast<uint8_t>(inside);
    out.observed[i % 64] = static_cast<uint8_t>(observed);
  }
};

/// The four rows of voxels about a row of cells, nine bits each: at (y, z), (y + 1, z), (y, z + 1), (y + 1, z + 1).
struct cell_rows {
  uint32_t inside[4], observed[4];
  TESSERA_HD cell_rows(const row_place& at, const field_view& field, const block_list& list, const block_rows* rows) {
    for (int n = 0; n < 4; ++n) {
      inside[n] = observed[n] = 0;
      for (int32_t dx = 0; dx < 2; ++dx) {
        uint32_t row = 0;
        const block_rows* from = at.around(field, list, rows, dx, n & 1, n >> 1, row);
        if (from == nullptr)
          continue;
        inside[n] |= dx == 0 ? from->inside[row] : (from->inside[row] & 1u) << 8;
        observed[n] |= dx == 0 ? from->observed[row] : (from->observed[row] & 1u) << 8;
      }
    }
  }
  /// Which corners of cell x are inside.
  [[nodiscard]] TESSERA_HD uint32_t set(uint32_t x) const {
    return (inside[0] >> x & 3) | (inside[1] >> x & 3) << 2 | (inside[2] >> x & 3) << 4 | (inside[3] >> x & 3) << 6;
  }
};

/// Item: a row of a listed block. Finds its active cells and how many corners they have. An apron has no cells.
struct find_cells {
  field_view field;
  block_list list;
  mesh_scratch scratch;

  TESSERA_HD void operator()(uint64_t i) const {
    const row_place at(field, list, i);
    const auto last = static_cast<int32_t>(field.edge) - 1;
    uint32_t active = 0, corners = 0;
    if (at.bx != last && at.by != last && at.bz != last) {
      const cell_rows r(at, field, list, scratch.rows);
      const uint32_t seen = r.observed[0] & r.observed[1] & r.observed[2] & r.observed[3];
      const uint32_t all = r.inside[0] & r.inside[1] & r.inside[2] & r.inside[3],
                     some = r.inside[0] | r.inside[1] | r.inside[2] | r.inside[3];
      active = (seen & seen >> 1) & (some | some >> 1) & ~(all & all >> 1) & 0xff;
      for (uint32_t left = active; left != 0; left &= left - 1)
        corners += 3u * scratch.cases[r.set(lowest_bit(left))].count;
    }
    block_rows& out = scratch.rows[at.block];
    out.active[i % 64] = static_cast<uint8_t>(active);
    out.corners[i % 64] = static_cast<uint8_t>(corners);
  }
};

/// Bit x of eight goes to bit 3 * x.
TESSERA_HD uint32_t spread_by_three(uint32_t bits) {
  bits = (bits | bits << 8) & 0x00f00fu;
  bits = (bits | bits << 4) & 0x0c30c3u;
  return (bits | bits << 2) & 0x249249u;
}

/// Item: a row of a listed block. An edge has a vertex if its ends lie on different sides and a cell at it is active.
struct find_edges {
  field_view field;
  block_list list;
  mesh_scratch scratch;

  TESSERA_HD void operator()(uint64_t i) const {
    const row_place at(field, list, i);
    const uint32_t here = active(at, 0, 0, 0), below = active(at, 0, 0, -1), before = active(at, 0, -1, 0),
                   both = active(at, 0, -1, -1);
    // The cells before the row's first voxel: the last ones (bit 7) of the block before.
    const uint32_t left = active(at, -1, 0, 0) >> 7, left_below = active(at, -1, 0, -1) >> 7,
                   left_before = active(at, -1, -1, 0) >> 7;
    const uint32_t cells_x = here | below | before | both, cells_y = here | here << 1 | left | below | below << 1 | left_below,
                   cells_z = here | here << 1 | left | before | before << 1 | left_before;
    uint32_t edges = 0;
    if ((cells_x | cells_y | cells_z) != 0) {
      const uint32_t in = inside(at, 0, 0, 0);
      const uint32_t cross_x = (in ^ (in >> 1 | (inside(at, 1, 0, 0) & 1) << 7)) & cells_x,
                     cross_y = (in ^ inside(at, 0, 1, 0)) & cells_y, cross_z = (in ^ inside(at, 0, 0, 1)) & cells_z;
      edges = spread_by_three(cross_x & 0xff) | spread_by_three(cross_y & 0xff) << 1 | spread_by_three(cross_z & 0xff) << 2;
    }
    scratch.rows[at.block].edges[i % 64] = edges;
    if ((edges | here) != 0)
      scratch.used_rows[append(scratch.state->rows)] = static_cast<uint32_t>(i);
  }

private:
  TESSERA_HD uint32_t active(const row_place& at, int32_t dx, int32_t dy, int32_t dz) const {
    uint32_t row = 0;
    const block_rows* from = at.around(field, list, scratch.rows, dx, dy, dz, row);
    return from != nullptr ? from->active[row] : 0;
  }
  TESSERA_HD uint32_t inside(const row_place& at, int32_t dx, int32_t dy, int32_t dz) const {
    uint32_t row = 0;
    const block_rows* from = at.around(field, list, scratch.rows, dx, dy, dz, row);
    return from != nullptr ? from->inside[row] : 0;
  }
};

/// Item: a layer of a listed block. Numbers its vertices and corners from 0, and adds up those of the block.
struct number_layers {
  field_view field;
  block_list list;
  mesh_scratch scratch;

  TESSERA_HD void operator()(uint64_t i) const {
    block_rows& rows = scratch.rows[i / 8];
    const auto layer = static_cast<uint32_t>(i % 8);
    uint32_t vertices = 0, corners = 0;
    for (uint32_t row = layer * 8; row < layer * 8 + 8; ++row) {
      rows.first_vertex[row] = static_cast<uint16_t>(vertices);
      rows.first_corner[row] = static_cast<uint16_t>(corners);
      vertices += count_bits(rows.edges[row]);
      corners += rows.corners[row];
    }
    rows.layer_vertices[layer] = static_cast<uint16_t>(vertices);
    rows.layer_corners[layer] = static_cast<uint16_t>(corners);
    if ((vertices | corners) == 0)
      return;
    const listed_block& of = list.blocks[i / 8];
    atomic_add(scratch.counts[of.region * uint64_t{field.table_size} + of.entry].both,
               vertices | static_cast<uint64_t>(corners) << 32);
  }
};

/// Item: a region, and one more for the end. What of the whole batch's mesh comes before it.
struct find_begins {
  mesh_scratch in;
  uint32_t table_size;
  mesh_count* begins;
  TESSERA_HD void operator()(uint64_t r) const { begins[r] = in.befores[r * table_size]; }
};

/// Meshes of all chosen regions, one after another.
struct mesh_arrays {
  float* positions;
  float* normals;
  uint8_t* colours;
  uint64_t* keys;
  uint32_t* indices;                    ///< of vertices of the region's own mesh
  uint32_t most_vertices, most_corners; ///< that there is room for; if there are more, nothing is written
};

/// Item: one of eight lanes of a row that has something, twice: the first time it writes every eighth vertex, the second time the
/// triangles of a cell.
struct write_meshes {
  field_view field;
  block_list list;
  mesh_scratch in;
  mesh_arrays out;
  float voxel_m;

  TESSERA_HD void operator()(uint64_t i) const {
    if (!in.has_room())
      return;
    const mesh_count all = in.befores[*in.region_count * uint64_t{field.table_size}];
    if (i == 0) {
      in.state->vertices = all.vertices();
      in.state->corners = all.corners();
    }
    if (all.vertices() > out.most_vertices || all.corners() > out.most_corners)
      return;
    const uint64_t items = uint64_t{in.state->rows} * 8;
    if (i < items)
      write_vertices(in.used_rows[i / 8], static_cast<uint32_t>(i % 8));
    else
      write_corners(in.used_rows[(i - items) / 8], static_cast<uint32_t>(i % 8));
  }

private:
  TESSERA_HD void write_vertices(uint64_t row, uint32_t lane) const {
    uint32_t left = in.rows[row / 64].edges[row % 64];
    for (uint32_t skip = 0; skip < lane && left != 0; ++skip)
      left &= left - 1;
    if (left == 0)
      return;
    const row_place at(field, list, row);
    const listed_block& block = list.blocks[at.block];
    const uint32_t slot = list.regions[block.region];
    const region_reader region{field, field.table_of(slot)};
    const int32_t* origin = field.origins + 3 * uint64_t{slot};
    uint64_t n = uint64_t{in.befores[at.first_entry + block.entry].vertices()}
                 + in.rows[at.block].vertices_before(static_cast<uint32_t>(row % 64)) + lane;
    const int32_t y = at.by * 8 + static_cast<int32_t>(at.y), z = at.bz * 8 + static_cast<int32_t>(at.z);
    while (left != 0) {
      const uint32_t bit = lowest_bit(left);
      write_vertex(region, origin, at.bx * 8 + static_cast<int32_t>(bit / 3), y, z, static_cast<int>(bit % 3), n);
      n += 8;
      for (uint32_t skip = 0; skip < 8 && left != 0; ++skip)
        left &= left - 1;
    }
  }

  TESSERA_HD void write_vertex(const region_reader& region, const int32_t* origin, int32_t x, int32_t y, int32_t z, int axis,
                               uint64_t n) const {
    const int32_t world[3] = {origin[0] + x, origin[1] + y, origin[2] + z};
    const edge_voxels about{region, {{x, y, z}, {x + (axis == 0), y + (axis == 1), z + (axis == 2)}}};
    vertex_attributes made;
    make_vertex(about, world[0], world[1], world[2], axis, voxel_m, made);
    for (int k = 0; k < 3; ++k) {
      const uint64_t at = 3 * n + static_cast<uint64_t>(k);
      out.positions[at] = made.position[k];
      out.normals[at] = made.normal[k];
      out.colours[at] = made.colour[k];
    }
    out.keys[n] = lattice::vertex_key(world[0], world[1], world[2], axis);
  }

  TESSERA_HD void write_corners(uint64_t row_number, uint32_t x) const {
    const block_rows& own = in.rows[row_number / 64];
    const uint32_t active = own.active[row_number % 64];
    if ((active >> x & 1) == 0)
      return;
    const row_place at(field, list, row_number);
    const cell_rows cells(at, field, list, in.rows);
    // The cells before it in its row.
    uint64_t n = uint64_t{in.befores[at.first_entry + list.blocks[at.block].entry].corners()}
                 + own.corners_before(static_cast<uint32_t>(row_number % 64));
    for (uint32_t left = active & ((1u << x) - 1); left != 0; left &= left - 1)
      n += 3u * in.cases[cells.set(lowest_bit(left))].count;
    // Vertices before each of the rows whose edges the cell has, at (x block, y, z), relative to the region's first.
    const uint32_t first = in.befores[at.first_entry].vertices();
    uint32_t before[8], edges[8];
    for (int of = 0; of < 8; ++of) {
      before[of] = edges[of] = 0;
      if ((of & 1) != 0 && x != 7)
        continue;
      uint32_t row = 0;
      const block_rows* from = at.around(field, list, in.rows, of & 1, of >> 1 & 1, of >> 2, row);
      if (from == nullptr)
        continue;
      const listed_block& block = list.blocks[from - in.rows];
      before[of] = in.befores[at.first_entry + block.entry].vertices() + from->vertices_before(row) - first;
      edges[of] = from->edges[row];
    }
    const case_row& row = in.cases[cells.set(x)];
    for (uint32_t c = 0; c < 3u * row.count; ++c) {
      const uint32_t corner = row.edges[c] / 3u, axis = row.edges[c] % 3u, vx = x + (corner & 1);
      const uint32_t of = (corner & 6) | vx >> 3, below = (1u << (3 * (vx & 7) + axis)) - 1;
      out.indices[n++] = before[of] + count_bits(edges[of] & below);
    }
  }
};

} // namespace tessera::cuda
