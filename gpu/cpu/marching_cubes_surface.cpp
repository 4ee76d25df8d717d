#include "gpu/cpu/marching_cubes_surface.hpp"

#include "gpu/cpu/clones.hpp"
#include "gpu/shared/marching_cubes.hpp"
#include "gpu/shared/vertex.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace tessera::cpu {

namespace {

/// Signs and observations of the 9^3 voxels from a block's first on: a row of bits along x for each (z, y).
struct masks {
  std::array<std::array<uint16_t, 9>, 9> inside{}, observed{};
};

/// Mean distance, in distance units.
inline float distance_of(const block::front& voxel) {
  return mean_distance(voxel.w0, voxel.w1);
}

/// Places in the 9^3 voxels of a block and the first layers after it, x fastest.
constexpr int place_stride[3] = {1, 9, 81};
constexpr int place(int x, int y, int z) {
  return z * 81 + y * 9 + x;
}

/// The corners of the marching cubes triangles relative to 3 * place(cell).
struct corner_offsets {
  std::array<uint16_t, 16> of{};
};
constexpr auto make_corner_offsets() {
  std::array<corner_offsets, 256> out{};
  for (size_t set = 0; set < 256; ++set)
    for (size_t i = 0; i < 15; ++i) {
      const int edge = marching_cubes::table[set].edges[i], corner = edge / 3;
      out[set].of[i] = static_cast<uint16_t>(3 * place(corner & 1, corner >> 1 & 1, corner >> 2) + edge % 3);
    }
  return out;
}
constexpr auto corner_table = make_corner_offsets();

/// For each edge of the 9^3 voxels, the block that it stands in (of 8: +x +y +z) * 1536 + its bit there.
constexpr auto make_edge_owners() {
  std::array<uint16_t, 3 * 729> out{};
  for (int z = 0; z < 9; ++z)
    for (int y = 0; y < 9; ++y)
      for (int x = 0; x < 9; ++x)
        for (int axis = 0; axis < 3; ++axis)
          out[static_cast<size_t>(3 * place(x, y, z) + axis)] = static_cast<uint16_t>(
            (x >> 3 | (y >> 3) << 1 | (z >> 3) << 2) * 1536 + 3 * ((z & 7) << 6 | (y & 7) << 3 | (x & 7)) + axis);
  return out;
}
constexpr auto edge_owners = make_edge_owners();

using float4 = float __attribute__((vector_size(16)));

/// Holds these, and has room for no more: what is held then follows from the mesh, not from larger ones that it was.
template <class T>
void assign_exactly(std::vector<T>& v, const T* first, size_t size) {
  if (v.capacity() == size)
    v.assign(first, first + size);
  else
    v = std::vector<T>(first, first + size);
}

/// Memory that a mesh holds.
uint64_t bytes_of(const mesh& m) {
  return (m.positions.capacity() + m.normals.capacity()) * sizeof(float) + m.colours.capacity()
         + m.keys.capacity() * sizeof(uint64_t) + m.indices.capacity() * sizeof(uint32_t);
}

/// Mean distance of the voxel before one of a block's 9^3, along an axis; `first` is the block's first voxel in the region.
[[gnu::noinline]] float distance_before(const region_field& field, const int32_t* first, int place, int axis) {
  const int32_t x = first[0] + place % 9 - (axis == 0), y = first[1] + place / 9 % 9 - (axis == 1),
                z = first[2] + place / 81 - (axis == 2);
  const block* from = field.at(x >> 3, y >> 3, z >> 3);
  return from != nullptr ? distance_of(from->w01[static_cast<size_t>(lattice::voxel_in_block(x, y, z))]) : unobserved;
}

/// What meshing a block needs for a moment.
struct mesh_scratch {
  std::array<float, 729> distance; ///< by place; only of rows that a vertex needs
  struct edge {
    uint8_t x, y, z, axis;
  };
  std::array<edge, 1536> edges;
  std::array<block_mesh::vertex, 1536> vertices;
  std::array<uint16_t, 512 * 15 + 1> corners;
  /// By edge of the 9^3 voxels: the number of its vertex, if it is the block's own; else its owner. Only edges with a vertex
  /// count.
  std::array<uint16_t, 3 * 729> names = edge_owners;
};

/// The voxels about an edge of a block, as make_vertex asks for them.
struct edge_voxels {
  const region_field& field;
  const float* distances; ///< by place
  const int32_t* first;   ///< voxel of the block, in the region
  int ends[2];            ///< places of the edge's
  const block* blocks[2]; ///< that its ends are in
  size_t voxels[2];       ///< there

  [[gnu::always_inline]] float distance(int end) const { return distances[ends[end]]; }
  [[gnu::always_inline]] float ahead(int end, int axis) const { return distances[ends[end] + place_stride[axis]]; }
  [[gnu::always_inline]] float behind(int end, int axis) const { return distance_before(field, first, ends[end], axis); }
  [[gnu::always_inline]] float4 colour(int end) const {
    const block::front& voxel = blocks[end]->w01[voxels[end]];
    return mean_colour<float4>(voxel.w0, voxel.w1, blocks[end]->w2[voxels[end]]);
  }
};

} // namespace

TESSERA_CLONES void marching_cubes_surface::mesh_block(const region_field& field, int32_t bx, int32_t by, int32_t bz) {
  const int32_t edge = field.blocks();
  auto& held = blocks_[field.slot(bx, by, bz)];
  const block* around[8];
  for (int n = 0; n < 8; ++n)
    around[n] = field.at(bx + (n & 1), by + (n >> 1 & 1), bz + (n >> 2));
  if (around[0] == nullptr) {
    held.reset();
    return;
  }
  masks m;
  for (size_t z = 0; z < 9; ++z)
    for (size_t y = 0; y < 9; ++y) {
      const size_t n = (y >> 3) << 1 | (z >> 3) << 2;
      const size_t row = (z & 7) << 3 | (y & 7);
      unsigned inside = 0, observed = 0;
      if (around[n] != nullptr) {
        inside = around[n]->inside[row];
        observed = around[n]->observed[row];
      }
      if (around[n | 1] != nullptr) {
        inside |= (around[n | 1]->inside[row] & 1u) << 8;
        observed |= (around[n | 1]->observed[row] & 1u) << 8;
      }
      m.inside[z][y] = static_cast<uint16_t>(inside);
      m.observed[z][y] = static_cast<uint16_t>(observed);
    }
  thread_local mesh_scratch scratch;
  // Vertices: every observed edge that crosses the surface; those that no triangle names are left out when
  // blocks are joined.
  const uint32_t wide[3] = {bx == edge - 1 ? 1u : 8u, by == edge - 1 ? 1u : 8u, bz == edge - 1 ? 1u : 8u};
  std::array<uint64_t, 24> bits{};
  std::array<unsigned, 10> rows{}; // that vertices need distances of, by z: a bit for each y
  size_t vertices = 0;
  for (uint32_t z = 0; z < wide[2]; ++z)
    for (uint32_t y = 0; y < wide[1]; ++y) {
      const unsigned here = m.inside[z][y], seen = m.observed[z][y];
      // On a far face only edges within the face belong to cells of the region.
      unsigned cross[3] = {(here ^ here >> 1) & seen & seen >> 1, (here ^ m.inside[z][y + 1]) & seen & m.observed[z][y + 1],
                           (here ^ m.inside[z + 1][y]) & seen & m.observed[z + 1][y]};
      for (int axis = 0; axis < 3; ++axis)
        cross[axis] = wide[axis] == 1 ? 0 : cross[axis] & ((1u << wide[0]) - 1);
      unsigned left = cross[0] | cross[1] | cross[2];
      if (left == 0)
        continue;
      rows[z] |= 3u << y;
      rows[z + 1] |= 3u << y;
      for (; left != 0; left &= left - 1) {
        const auto x = static_cast<uint32_t>(std::countr_zero(left));
        const uint32_t first = 3 * (z << 6 | y << 3 | x);
        for (uint32_t axis = 0; axis < 3; ++axis) {
          const uint32_t is = cross[axis] >> x & 1;
          bits[(first + axis) >> 6] |= uint64_t{is} << ((first + axis) & 63);
          scratch.edges[vertices]
            = {static_cast<uint8_t>(x), static_cast<uint8_t>(y), static_cast<uint8_t>(z), static_cast<uint8_t>(axis)};
          const auto name = static_cast<size_t>(3 * place(static_cast<int>(x), static_cast<int>(y), static_cast<int>(z))) + axis;
          scratch.names[name] = static_cast<uint16_t>(vertices); // without a vertex it is overwritten by the next, and never read
          vertices += is;
        }
        __builtin_prefetch(&around[0]->w2[first / 3]);
      }
    }
  // Cells: only of the region itself. Apron blocks have vertices, not triangles.
  size_t corners = 0;
  if (bx < edge - 1 && by < edge - 1 && bz < edge - 1)
    for (size_t z = 0; z < 8; ++z)
      for (size_t y = 0; y < 8; ++y) {
        const unsigned o = m.observed[z][y] & m.observed[z][y + 1] & m.observed[z + 1][y] & m.observed[z + 1][y + 1];
        const unsigned whole = o & o >> 1;
        const unsigned r0 = m.inside[z][y], r1 = m.inside[z][y + 1], r2 = m.inside[z + 1][y], r3 = m.inside[z + 1][y + 1];
        const unsigned all = r0 & r1 & r2 & r3, some = r0 | r1 | r2 | r3;
        unsigned active = whole & (some | some >> 1) & ~(all & all >> 1) & 0xff;
        for (; active != 0; active &= active - 1) {
          const int x = std::countr_zero(active);
          const unsigned set = (r0 >> x & 3) | (r1 >> x & 3) << 2 | (r2 >> x & 3) << 4 | (r3 >> x & 3) << 6;
          const auto cell = static_cast<uint16_t>(3 * place(x, static_cast<int>(y), static_cast<int>(z)));
          for (size_t i = 0; i < 16; ++i) // those past the case's triangles are written over by the next cell
            scratch.corners[corners + i] = static_cast<uint16_t>(cell + corner_table[set].of[i]);
          corners += size_t{3} * marching_cubes::table[set].count;
        }
      }
  if (vertices == 0 && corners == 0) {
    held.reset();
    return;
  }

  for (int z = 0; z < 9; ++z)
    for (unsigned left = rows[static_cast<size_t>(z)]; left != 0; left &= left - 1) {
      const int y = std::countr_zero(left);
      const int n = (y >> 3) << 1 | (z >> 3) << 2;
      float* row = scratch.distance.data() + place(0, y, z);
      if (around[n] != nullptr) {
        const block::front* from = around[n]->w01.data() + ((z & 7) << 6 | (y & 7) << 3);
        for (int x = 0; x < 8; ++x)
          row[x] = distance_of(from[x]);
      } else {
        std::fill_n(row, 8, unobserved);
      }
      row[8] = around[n | 1] != nullptr ? distance_of(around[n | 1]->w01[static_cast<size_t>((z & 7) << 6 | (y & 7) << 3)])
                                        : unobserved;
    }
  const int32_t first[3] = {bx * 8, by * 8, bz * 8};
  const int32_t block_origin[3] = {field.origin()[0] + bx * 8, field.origin()[1] + by * 8, field.origin()[2] + bz * 8};
  for (size_t i = 0; i < vertices; ++i) {
    const auto [x, y, z, axis] = scratch.edges[i];
    const auto voxel = static_cast<unsigned>(z << 6 | y << 3 | x);
    const int from = place(x, y, z), to = from + place_stride[axis];
    const uint16_t end = edge_owners[static_cast<size_t>(3 * to)];
    const edge_voxels about{field,      scratch.distance.data(),         first,
                            {from, to}, {around[0], around[end / 1536]}, {voxel, end % 1536u / 3}};
    block_mesh::vertex& out = scratch.vertices[i];
    out.place = static_cast<uint16_t>(voxel << 2 | axis);
    make_vertex(about, block_origin[0] + x, block_origin[1] + y, block_origin[2] + z, axis, voxel_m_, out);
  }

  if (!held)
    held = std::make_unique<block_mesh>();
  held->edges = bits;
  uint16_t before = 0;
  for (size_t i = 0; i < 24; ++i) {
    held->before[i] = before;
    before = static_cast<uint16_t>(before + std::popcount(bits[i]));
  }
  assign_exactly(held->vertices, scratch.vertices.data(), vertices);
  for (size_t i = 0; i < corners; ++i)
    scratch.corners[i] = scratch.names[scratch.corners[i]];
  assign_exactly(held->corners, scratch.corners.data(), corners);
}

/// One mesh of all blocks: numbers the vertices that triangles name, in canonical order. Tells the pool what meshes hold now.
[[gnu::always_inline]] inline std::shared_ptr<const mesh> marching_cubes_surface::join(const region_field& field) {
  std::vector<uint32_t> first_of(blocks_.size(), 0); // of a block's vertices among all
  uint32_t all = 0;
  size_t corners = 0;
  uint64_t bytes = 0;
  for (size_t s = 0; s < blocks_.size(); ++s)
    if (blocks_[s]) {
      first_of[s] = all;
      all += static_cast<uint32_t>(blocks_[s]->vertices.size());
      corners += blocks_[s]->corners.size();
      bytes += blocks_[s]->bytes();
    }
  const auto edge = static_cast<uint32_t>(field.blocks());
  const uint32_t offset[8] = {0, 1, edge, edge + 1, edge * edge, edge * edge + 1, edge * edge + edge, edge * edge + edge + 1};
  auto out = std::make_shared<mesh>();
  out->indices.resize(corners);
  std::vector<uint32_t> number(all, 0);
  uint32_t* index = out->indices.data();
  for (size_t s = 0; s < blocks_.size(); ++s) {
    if (!blocks_[s])
      continue;
    for (const uint16_t corner : blocks_[s]->corners) {
      uint32_t vertex = first_of[s] + corner;
      if (corner >= block_mesh::foreign) {
        const size_t owner = s + offset[corner / block_mesh::foreign], bit = corner % block_mesh::foreign;
        const block_mesh& from = *blocks_[owner];
        const uint64_t below = from.edges[bit >> 6] & ((uint64_t{1} << (bit & 63)) - 1);
        vertex = first_of[owner] + from.before[bit >> 6] + static_cast<uint32_t>(std::popcount(below));
      }
      number[vertex] = 1;
      *index++ = vertex;
    }
  }
  uint32_t count = 0;
  for (uint32_t& n : number)
    n = n != 0 ? count++ : UINT32_MAX;
  for (uint32_t& i : out->indices)
    i = number[i];
  out->positions.resize(3 * size_t{count});
  out->normals.resize(3 * size_t{count});
  out->colours.resize(3 * size_t{count});
  out->keys.resize(count);
  for (size_t s = 0; s < blocks_.size(); ++s) {
    if (!blocks_[s])
      continue;
    const auto slot = static_cast<uint32_t>(s);
    const auto first
      = [&](int axis, uint32_t block) { return field.origin()[static_cast<size_t>(axis)] + static_cast<int32_t>(block) * 8; };
    const uint64_t key
      = lattice::vertex_key(first(0, slot % edge), first(1, slot / edge % edge), first(2, slot / edge / edge), 0);
    const uint32_t* to = number.data() + first_of[s];
    for (const block_mesh::vertex& vertex : blocks_[s]->vertices) {
      const size_t n = *to++;
      if (n == UINT32_MAX)
        continue;
      std::memcpy(&out->positions[3 * n], vertex.position, sizeof vertex.position);
      std::memcpy(&out->normals[3 * n], vertex.normal, sizeof vertex.normal);
      std::memcpy(&out->colours[3 * n], vertex.colour, sizeof vertex.colour);
      out->keys[n] = key + vertex.place; // the low bits of a key are the place in the block and the axis
    }
  }
  bytes += bytes_of(*out);
  memory_.recount(std::exchange(bytes_, bytes), bytes);
  return out;
}

TESSERA_CLONES std::shared_ptr<const mesh> marching_cubes_surface::extract(const region_field& field) {
  const auto& changes = field.changes();
  const int32_t edge = field.blocks();
  bool changed = false;
  std::vector<uint8_t> todo(changes.size());
  for (int32_t bz = 0; bz < edge; ++bz)
    for (int32_t by = 0; by < edge; ++by)
      for (int32_t bx = 0; bx < edge; ++bx) {
        const unsigned faces = changes[field.slot(bx, by, bz)];
        if (faces == 0)
          continue;
        changed = true;
        // A block reads one layer of its neighbours: those are meshed again only if a layer that faces them
        // changed.
        const auto faces_it
          = [&](int axis, int32_t step) { return step == 0 || (faces >> (1 + 2 * axis + (step > 0)) & 1) != 0; };
        for (int32_t z = bz - 1; z <= bz + 1; ++z)
          for (int32_t y = by - 1; y <= by + 1; ++y)
            for (int32_t x = bx - 1; x <= bx + 1; ++x)
              if (x >= 0 && y >= 0 && z >= 0 && x < edge && y < edge && z < edge && faces_it(0, x - bx) && faces_it(1, y - by)
                  && faces_it(2, z - bz))
                todo[field.slot(x, y, z)] = 1;
      }
  if (!changed)
    return mesh_;
  blocks_.resize(changes.size());
  for (int32_t bz = 0; bz < edge; ++bz)
    for (int32_t by = 0; by < edge; ++by)
      for (int32_t bx = 0; bx < edge; ++bx)
        if (todo[field.slot(bx, by, bz)] != 0)
          mesh_block(field, bx, by, bz);
  mesh_ = join(field);
  return mesh_;
}

} // namespace tessera::cpu
