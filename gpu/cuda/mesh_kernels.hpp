#pragma once
// Marching cubes of whole regions (docs/field.md, "Extract"), in canonical order: classify cells, find the edges that they use,
// number those block by block, and write vertices and corners to the places so found.

#include "gpu/cuda/field_kernels.hpp"
#include "gpu/shared/marching_cubes.hpp"

#include <cmath>
#include <cstdint>
#include <limits>

namespace tessera::cuda {

/// The distance where nothing was observed.
inline constexpr float unobserved = std::numeric_limits<float>::infinity();

/// Triangles of one case, as kernels read them.
struct case_row {
  uint8_t count;
  uint8_t edges[15];
};

/// What meshing keeps for the voxels of listed blocks (512 each) and for their layers (8 each).
struct mesh_scratch {
  const case_row* cases;
  uint8_t* inside;  ///< by voxel: the set of inside corners of an active cell, else 0
  uint8_t* edges;   ///< by voxel: which of its three edges have a vertex
  uint16_t* vertex; ///< by voxel: vertices before it in its layer
  uint16_t* corner; ///< likewise, of triangles
  uint16_t* layer_vertices;
  uint16_t* layer_corners;
  uint32_t* vertices; ///< by region index * table size + entry, and one more: how many; then how many before it
  uint32_t* corners;
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
    const uint32_t weight = v != nullptr ? weight_sum(v->w1) : 0;
    return weight != 0 ? static_cast<float>(distance_sum(v->w0)) / static_cast<float>(weight) : unobserved;
  }
};

/// The place of voxel v of a listed block, relative to its region's first voxel.
struct local_place {
  int32_t x, y, z;
  TESSERA_HD local_place(const field_view& field, uint32_t entry, uint32_t v)
    : x(static_cast<int32_t>(entry % field.edge * 8 + (v & 7))),
      y(static_cast<int32_t>(entry / field.edge % field.edge * 8 + (v >> 3 & 7))),
      z(static_cast<int32_t>(entry / field.edge / field.edge * 8 + (v >> 6))) {}
};

/// Item: a voxel of a listed block, and the cell that it is the lowest corner of.
struct classify_cells {
  field_view field;
  block_list list;
  mesh_scratch out;

  TESSERA_HD void operator()(uint64_t i) const {
    const listed_block& in = list.blocks[i / 512];
    const auto v = static_cast<uint32_t>(i % 512);
    out.inside[i] = 0;
    const uint32_t last = field.edge - 1;
    if (in.entry % field.edge == last || in.entry / field.edge % field.edge == last || in.entry / field.edge / field.edge == last)
      return; // an apron has no cells
    const local_place p(field, in.entry, v);
    const region_reader region{field, field.tables + list.regions[in.region].slot * uint64_t{field.table_size}};
    uint32_t set = 0;
    for (uint32_t c = 0; c < 8; ++c) {
      const voxel_words* at = region.at(p.x + static_cast<int32_t>(c & 1), p.y + static_cast<int32_t>(c >> 1 & 1),
                                        p.z + static_cast<int32_t>(c >> 2));
      if (at == nullptr || sample_count(at->w0) == 0)
        return;
      set |= static_cast<uint32_t>(at->w0 >> 63) << c;
    }
    out.inside[i] = static_cast<uint8_t>(set != 255 ? set : 0);
  }
};

/// Item: a voxel of a listed block. An edge has a vertex if an active cell at it has its ends on different sides.
struct find_edges {
  field_view field;
  block_list list;
  mesh_scratch out;

  TESSERA_HD void operator()(uint64_t i) const {
    const listed_block& in = list.blocks[i / 512];
    const local_place p(field, in.entry, static_cast<uint32_t>(i % 512));
    uint32_t edges = 0;
    // Cells that have this voxel as corner c; an edge along an axis starts here in those whose c lies low on that axis.
    for (uint32_t c = 0; c < 7; ++c) {
      const int32_t x = p.x - static_cast<int32_t>(c & 1), y = p.y - static_cast<int32_t>(c >> 1 & 1),
                    z = p.z - static_cast<int32_t>(c >> 2);
      if (x < 0 || y < 0 || z < 0)
        continue;
      const uint32_t place = list.place[in.region * uint64_t{field.table_size} + field.entry_of(x, y, z)];
      if (place == 0)
        continue;
      const uint32_t set = out.inside[(place - 1) * uint64_t{512} + static_cast<uint32_t>(lattice::voxel_in_block(x, y, z))];
      for (uint32_t axis = 0; axis < 3; ++axis)
        if ((c >> axis & 1) == 0)
          edges |= ((set >> c ^ set >> (c | 1u << axis)) & 1) << axis;
    }
    out.edges[i] = static_cast<uint8_t>(edges);
  }
};

TESSERA_HD uint32_t count_edges(uint32_t edges) {
  return (edges & 1) + (edges >> 1 & 1) + (edges >> 2);
}

/// Item: a layer of a listed block. Numbers its vertices and corners from 0, and adds up those of the block.
struct number_layers {
  field_view field;
  block_list list;
  mesh_scratch out;

  TESSERA_HD void operator()(uint64_t i) const {
    uint32_t vertices = 0, corners = 0;
    for (uint64_t v = i * 64; v < i * 64 + 64; ++v) {
      out.vertex[v] = static_cast<uint16_t>(vertices);
      out.corner[v] = static_cast<uint16_t>(corners);
      vertices += count_edges(out.edges[v]);
      corners += 3u * out.cases[out.inside[v]].count;
    }
    out.layer_vertices[i] = static_cast<uint16_t>(vertices);
    out.layer_corners[i] = static_cast<uint16_t>(corners);
    const listed_block& in = list.blocks[i / 8];
    const uint64_t at = in.region * uint64_t{field.table_size} + in.entry;
    if (vertices != 0)
      atomic_add(out.vertices[at], vertices);
    if (corners != 0)
      atomic_add(out.corners[at], corners);
  }
};

/// What of the whole batch's mesh comes before a region.
struct mesh_begin {
  uint32_t vertices, corners;
};

/// Item: a region, and one more: the end.
struct find_begins {
  mesh_scratch in;
  uint32_t table_size;
  mesh_begin* begins;
  TESSERA_HD void operator()(uint64_t r) const { begins[r] = {in.vertices[r * table_size], in.corners[r * table_size]}; }
};

/// Meshes of all chosen regions, one after another.
struct mesh_arrays {
  float* positions;
  float* normals;
  uint8_t* colours;
  uint64_t* keys;
  uint32_t* indices; ///< of vertices of the region's own mesh
};

/// The number of the first vertex of a voxel among those of the batch.
TESSERA_HD uint32_t vertex_number(const mesh_scratch& in, uint64_t entry, uint64_t voxel) {
  uint32_t n = in.vertices[entry] + in.vertex[voxel];
  for (uint64_t layer = voxel / 512 * 8; layer < voxel / 64; ++layer)
    n += in.layer_vertices[layer];
  return n;
}

/// Item: a voxel of a listed block. Writes the vertices of its edges.
struct write_vertices {
  field_view field;
  block_list list;
  mesh_scratch in;
  mesh_arrays out;
  float voxel_m;

  TESSERA_HD void operator()(uint64_t i) const {
    const uint32_t edges = in.edges[i];
    if (edges == 0)
      return;
    const listed_block& block = list.blocks[i / 512];
    const chosen_region& chosen = list.regions[block.region];
    const local_place p(field, block.entry, static_cast<uint32_t>(i % 512));
    const region_reader region{field, field.tables + chosen.slot * uint64_t{field.table_size}};
    uint64_t n = vertex_number(in, block.region * uint64_t{field.table_size} + block.entry, i);
    for (int axis = 0; axis < 3; ++axis)
      if ((edges >> axis & 1) != 0)
        write(region, chosen.origin, p, axis, n++);
  }

private:
  /// Slope of the distance along an axis at a voxel: forward, else backward, else 0.
  TESSERA_HD static float slope(const region_reader& region, int32_t x, int32_t y, int32_t z, int axis, float here) {
    const int32_t dx = axis == 0, dy = axis == 1, dz = axis == 2;
    const float ahead = region.distance(x + dx, y + dy, z + dz) - here;
    if (ahead != unobserved)
      return ahead;
    const float back = region.distance(x - dx, y - dy, z - dz);
    return back != unobserved ? here - back : 0.f;
  }

  TESSERA_HD void write(const region_reader& region, const int32_t* origin, const local_place& p, int axis, uint64_t n) const {
    const int32_t tx = p.x + (axis == 0), ty = p.y + (axis == 1), tz = p.z + (axis == 2);
    const float d0 = region.distance(p.x, p.y, p.z), d1 = region.distance(tx, ty, tz);
    float t = d0 / (d0 - d1);
    t = t > 0.f ? t < 1.f ? t : 1.f : 0.f;
    float gradient[3];
    for (int other = 0; other < 3; ++other) {
      if (other == axis) {
        gradient[other] = d1 - d0;
        continue;
      }
      const float s0 = slope(region, p.x, p.y, p.z, other, d0), s1 = slope(region, tx, ty, tz, other, d1);
      gradient[other] = s0 + (s1 - s0) * t;
    }
    const float length = std::sqrt(gradient[0] * gradient[0] + gradient[1] * gradient[1] + gradient[2] * gradient[2]);
    const int32_t world[3] = {origin[0] + p.x, origin[1] + p.y, origin[2] + p.z};
    for (int k = 0; k < 3; ++k) {
      const auto at = static_cast<float>(world[k]);
      out.positions[3 * n + static_cast<uint64_t>(k)] = (k == axis ? at + t : at) * voxel_m;
      out.normals[3 * n + static_cast<uint64_t>(k)] = length > 0.f ? gradient[k] / length : 0.f;
    }
    const voxel_words &v0 = *region.at(p.x, p.y, p.z), &v1 = *region.at(tx, ty, tz);
    const auto n0 = static_cast<float>(sample_count(v0.w0)), n1 = static_cast<float>(sample_count(v1.w0));
    const auto mix = [&](uint64_t sum0, uint64_t sum1) {
      const float c0 = static_cast<float>(static_cast<uint32_t>(sum0)) / n0,
                  c1 = static_cast<float>(static_cast<uint32_t>(sum1)) / n1;
      return static_cast<uint8_t>(static_cast<int32_t>(c0 + (c1 - c0) * t + .5f));
    };
    out.colours[3 * n] = mix(v0.w1 >> 32, v1.w1 >> 32);
    out.colours[3 * n + 1] = mix(v0.w2, v1.w2);
    out.colours[3 * n + 2] = mix(v0.w2 >> 32, v1.w2 >> 32);
    out.keys[n] = lattice::vertex_key(world[0], world[1], world[2], axis);
  }
};

/// Item: a voxel of a listed block. Writes the triangles of its cell.
struct write_corners {
  field_view field;
  block_list list;
  mesh_scratch in;
  mesh_arrays out;

  TESSERA_HD void operator()(uint64_t i) const {
    const case_row& row = in.cases[in.inside[i]];
    if (row.count == 0)
      return;
    const listed_block& block = list.blocks[i / 512];
    const uint64_t first_entry = block.region * uint64_t{field.table_size};
    const uint32_t first_vertex = in.vertices[first_entry];
    const local_place p(field, block.entry, static_cast<uint32_t>(i % 512));
    uint64_t n = in.corners[first_entry + block.entry] + uint64_t{in.corner[i]};
    for (uint64_t layer = i / 512 * 8; layer < i / 64; ++layer)
      n += in.layer_corners[layer];
    for (uint32_t c = 0; c < 3u * row.count; ++c) {
      const uint32_t corner = row.edges[c] / 3u, axis = row.edges[c] % 3u;
      const int32_t x = p.x + static_cast<int32_t>(corner & 1), y = p.y + static_cast<int32_t>(corner >> 1 & 1),
                    z = p.z + static_cast<int32_t>(corner >> 2);
      const uint64_t entry = first_entry + field.entry_of(x, y, z);
      const uint64_t voxel = (list.place[entry] - 1) * uint64_t{512} + static_cast<uint32_t>(lattice::voxel_in_block(x, y, z));
      out.indices[n++] = vertex_number(in, entry, voxel) + count_edges(in.edges[voxel] & ((1u << axis) - 1)) - first_vertex;
    }
  }
};

} // namespace tessera::cuda
