// Incremental marching cubes of one region (docs/field.md, "Extract").

#include "gpu/cpu/region_field.hpp"

#include "gpu/cpu/clones.hpp"
#include "gpu/shared/marching_cubes.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace tessera::cpu {

namespace {

/// Signs and observations of the 9^3 voxels from a block's first on: a row of bits along x for each (z, y).
struct masks {
  std::array<std::array<uint16_t, 9>, 9> inside{}, observed{};
};

/// Reads `width` voxels of a row of a block.
void read_row(const block& from, int y, int z, int width, int shift, uint16_t& inside, uint16_t& observed) {
  const block::front* row = from.w01.data() + (z << 6 | y << 3);
  for (int x = 0; x < width; ++x) {
    observed = static_cast<uint16_t>(observed | (sample_count(row[x].w0) != 0) << (x + shift));
    inside = static_cast<uint16_t>(inside | (row[x].w0 >> 63) << (x + shift));
  }
}

struct sample {
  float distance; ///< in distance units
  bool observed;
};

constexpr float unobserved = std::numeric_limits<float>::infinity();

} // namespace

void block_mesh::clear() {
  edges.fill(0);
  before.fill(0);
  positions.clear();
  normals.clear();
  colours.clear();
  corners.clear();
}

void region_field::mesh_block(int32_t bx, int32_t by, int32_t bz) {
  const uint32_t own = slot(bx, by, bz);
  auto& held = meshes_[own];
  const block* around[8];
  bool any = false;
  for (int n = 0; n < 8; ++n) {
    around[n] = at(bx + (n & 1), by + (n >> 1 & 1), bz + (n >> 2));
    any = any || (n == 0 && around[n] != nullptr);
  }
  if (!any) {
    held.reset();
    return;
  }
  masks m;
  for (int z = 0; z < 9; ++z)
    for (int y = 0; y < 9; ++y) {
      const int n = (y >> 3) << 1 | (z >> 3) << 2;
      if (around[n] != nullptr)
        read_row(*around[n], y & 7, z & 7, 8, 0, m.inside[z][y], m.observed[z][y]);
      if (around[n | 1] != nullptr)
        read_row(*around[n | 1], y & 7, z & 7, 1, 8, m.inside[z][y], m.observed[z][y]);
    }
  // Cells: only of the region itself. Apron blocks have vertices, not triangles.
  const bool own_cells = bx < blocks_ - 1 && by < blocks_ - 1 && bz < blocks_ - 1;
  if (!held)
    held = std::make_unique<block_mesh>();
  block_mesh& out = *held;
  out.clear();
  if (own_cells)
    for (int z = 0; z < 8; ++z)
      for (int y = 0; y < 8; ++y) {
        const unsigned o = m.observed[z][y] & m.observed[z][y + 1] & m.observed[z + 1][y] & m.observed[z + 1][y + 1];
        const unsigned whole = o & o >> 1;
        const unsigned r0 = m.inside[z][y], r1 = m.inside[z][y + 1], r2 = m.inside[z + 1][y], r3 = m.inside[z + 1][y + 1];
        const unsigned all = r0 & r1 & r2 & r3, some = r0 | r1 | r2 | r3;
        unsigned active = whole & (some | some >> 1) & ~(all & all >> 1) & 0xff;
        for (; active != 0; active &= active - 1) {
          const int x = std::countr_zero(active);
          const unsigned set = (r0 >> x & 3) | (r1 >> x & 3) << 2 | (r2 >> x & 3) << 4 | (r3 >> x & 3) << 6;
          const auto& triangles = marching_cubes::table[set];
          for (int i = 0; i < 3 * triangles.count; ++i) {
            const int edge = triangles.edges[static_cast<size_t>(i)], corner = edge / 3;
            const int vx = x + (corner & 1), vy = y + (corner >> 1 & 1), vz = z + (corner >> 2);
            const int neighbour = vx >> 3 | (vy >> 3) << 1 | (vz >> 3) << 2;
            out.corners.push_back(static_cast<uint16_t>(neighbour * 1536 + 3 * lattice::voxel_in_block(vx, vy, vz) + edge % 3));
          }
        }
      }

  // Distances of the voxels around, each computed once: NaN is not computed yet, infinity is not observed.
  thread_local std::array<float, 11 * 11 * 11> known;
  known.fill(std::numeric_limits<float>::quiet_NaN());
  const auto look_up = [&](int x, int y, int z) {
    const block* from = (x | y | z) >= 0 ? around[x >> 3 | (y >> 3) << 1 | (z >> 3) << 2] : at(bx + (x >> 3), by + (y >> 3), bz + (z >> 3));
    if (from == nullptr)
      return unobserved;
    const auto v = static_cast<size_t>(lattice::voxel_in_block(x, y, z));
    const uint32_t weight = weight_sum(from->w01[v].w1);
    return weight != 0 ? static_cast<float>(distance_sum(from->w01[v].w0)) / static_cast<float>(weight) : unobserved;
  };
  const auto read = [&](int x, int y, int z) -> sample { // relative to the block, -1 .. 9
    float& d = known[static_cast<size_t>(((z + 1) * 11 + y + 1) * 11 + x + 1)];
    if (d != d)
      d = look_up(x, y, z);
    return {d, d != unobserved};
  };
  const auto add_vertex = [&](int x, int y, int z, int axis) {
    const int to[3] = {x + (axis == 0), y + (axis == 1), z + (axis == 2)};
    const sample d0 = read(x, y, z), d1 = read(to[0], to[1], to[2]);
    float t = d0.distance / (d0.distance - d1.distance);
    t = t > 0.f ? t < 1.f ? t : 1.f : 0.f;
    const int v[3] = {x, y, z};
    const int32_t block_origin[3] = {origin_[0] + bx * 8, origin_[1] + by * 8, origin_[2] + bz * 8};
    float gradient[3];
    for (int i = 0; i < 3; ++i) {
      const float lattice_at = static_cast<float>(block_origin[i] + v[i]);
      out.positions.push_back((i == axis ? lattice_at + t : lattice_at) * map_.voxel_m);
      if (i == axis) {
        gradient[i] = d1.distance - d0.distance;
        continue;
      }
      const int step[3] = {i == 0, i == 1, i == 2};
      // Forward difference where the next voxel is observed, else backward: both lie within reach of any cut (docs/field.md).
      const auto slope = [&](int px, int py, int pz, const sample& here) {
        const sample ahead = read(px + step[0], py + step[1], pz + step[2]);
        if (ahead.observed)
          return ahead.distance - here.distance;
        const sample back = read(px - step[0], py - step[1], pz - step[2]);
        return back.observed ? here.distance - back.distance : 0.f;
      };
      const float s0 = slope(x, y, z, d0), s1 = slope(to[0], to[1], to[2], d1);
      gradient[i] = s0 + (s1 - s0) * t;
    }
    const float length = std::sqrt(gradient[0] * gradient[0] + gradient[1] * gradient[1] + gradient[2] * gradient[2]);
    for (float g : gradient)
      out.normals.push_back(length > 0.f ? g / length : 0.f);
    // Colour: the sums of both ends, weighted by nearness.
    const auto colour_of = [&](int px, int py, int pz, float* rgb) {
      const block* from = around[px >> 3 | (py >> 3) << 1 | (pz >> 3) << 2];
      const auto i = static_cast<size_t>(lattice::voxel_in_block(px, py, pz));
      const auto count = static_cast<float>(sample_count(from->w01[i].w0));
      rgb[0] = static_cast<float>(from->w01[i].w1 >> 32) / count;
      rgb[1] = static_cast<float>(static_cast<uint32_t>(from->w2[i])) / count;
      rgb[2] = static_cast<float>(from->w2[i] >> 32) / count;
    };
    float c0[3], c1[3];
    colour_of(x, y, z, c0);
    colour_of(to[0], to[1], to[2], c1);
    for (int i = 0; i < 3; ++i)
      out.colours.push_back(static_cast<uint8_t>(std::floor(c0[i] + (c1[i] - c0[i]) * t + 0.5f)));
  };
  // Vertices: every observed edge that crosses the surface; those that no triangle names are left out when blocks are joined.
  const int wide[3] = {bx == blocks_ - 1 ? 1 : 8, by == blocks_ - 1 ? 1 : 8, bz == blocks_ - 1 ? 1 : 8};
  int written = 0;
  for (int z = 0; z < wide[2]; ++z)
    for (int y = 0; y < wide[1]; ++y) {
      const unsigned here = m.inside[z][y], seen = m.observed[z][y];
      // On a far face only edges within the face belong to cells of the region.
      unsigned cross[3] = {(here ^ here >> 1) & seen & seen >> 1, (here ^ m.inside[z][y + 1]) & seen & m.observed[z][y + 1],
                           (here ^ m.inside[z + 1][y]) & seen & m.observed[z + 1][y]};
      for (int axis = 0; axis < 3; ++axis)
        cross[axis] = wide[axis] == 1 ? 0 : cross[axis] & ((1u << wide[0]) - 1);
      for (unsigned left = cross[0] | cross[1] | cross[2]; left != 0; left &= left - 1) {
        const int x = std::countr_zero(left);
        for (int axis = 0; axis < 3; ++axis)
          if (cross[axis] >> x & 1) {
            const int bit = 3 * (z << 6 | y << 3 | x) + axis;
            out.edges[static_cast<size_t>(bit >> 6)] |= uint64_t{1} << (bit & 63);
            add_vertex(x, y, z, axis);
            ++written;
          }
      }
    }
  if (written == 0 && out.corners.empty()) {
    held.reset();
    return;
  }
  uint16_t before = 0;
  for (size_t i = 0; i < 24; ++i) {
    out.before[i] = before;
    before = static_cast<uint16_t>(before + std::popcount(out.edges[i]));
  }
}

TESSERA_CLONES std::shared_ptr<const mesh> region_field::extract() {
  bool changed = false;
  std::vector<uint8_t> todo(dirty_.size());
  for (int32_t bz = 0; bz < blocks_; ++bz)
    for (int32_t by = 0; by < blocks_; ++by)
      for (int32_t bx = 0; bx < blocks_; ++bx) {
        if (!dirty_[slot(bx, by, bz)])
          continue;
        changed = true;
        // A block reads one layer of its neighbours: those are meshed again only if a layer that faces them changed.
        const unsigned faces = dirty_[slot(bx, by, bz)];
        const auto faces_it = [&](int axis, int32_t step) { return step == 0 || (faces >> (1 + 2 * axis + (step > 0)) & 1) != 0; };
        for (int32_t z = bz - 1; z <= bz + 1; ++z)
          for (int32_t y = by - 1; y <= by + 1; ++y)
            for (int32_t x = bx - 1; x <= bx + 1; ++x)
              if (x >= 0 && y >= 0 && z >= 0 && x < blocks_ && y < blocks_ && z < blocks_ && faces_it(0, x - bx) && faces_it(1, y - by)
                  && faces_it(2, z - bz))
                todo[slot(x, y, z)] = 1;
      }
  if (!changed)
    return surface_;
  std::fill(dirty_.begin(), dirty_.end(), uint8_t{0});
  for (int32_t bz = 0; bz < blocks_; ++bz)
    for (int32_t by = 0; by < blocks_; ++by)
      for (int32_t bx = 0; bx < blocks_; ++bx)
        if (todo[slot(bx, by, bz)])
          mesh_block(bx, by, bz);

  // Join the blocks: number the vertices that triangles name, in canonical order.
  struct part {
    const block_mesh* from;
    uint32_t slot;
    uint32_t first; ///< of its vertices among all
  };
  std::vector<part> parts;
  std::vector<uint32_t> first_of(meshes_.size(), 0);
  uint32_t all = 0;
  size_t corners = 0;
  for (uint32_t s = 0; s < meshes_.size(); ++s)
    if (meshes_[s]) {
      parts.push_back({meshes_[s].get(), s, all});
      first_of[s] = all;
      all += static_cast<uint32_t>(meshes_[s]->positions.size() / 3);
      corners += meshes_[s]->corners.size();
    }
  const int32_t offset[8] = {0,
                             1,
                             blocks_,
                             blocks_ + 1,
                             blocks_ * blocks_,
                             blocks_ * blocks_ + 1,
                             blocks_ * blocks_ + blocks_,
                             blocks_ * blocks_ + blocks_ + 1};
  auto out = std::make_shared<mesh>();
  out->indices.reserve(corners);
  std::vector<uint32_t> number(all, 0);
  for (const part& p : parts)
    for (const uint16_t corner : p.from->corners) {
      const auto neighbour = static_cast<size_t>(corner / 1536);
      const auto bit = static_cast<size_t>(corner % 1536);
      const uint32_t s = p.slot + static_cast<uint32_t>(offset[neighbour]);
      const block_mesh& owner = *meshes_[s];
      const uint64_t below = owner.edges[bit >> 6] & ((uint64_t{1} << (bit & 63)) - 1);
      const uint32_t vertex = first_of[s] + owner.before[bit >> 6] + static_cast<uint32_t>(std::popcount(below));
      number[vertex] = 1;
      out->indices.push_back(vertex);
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
  for (const part& p : parts) {
    const auto bx = static_cast<int32_t>(p.slot) % blocks_, by = static_cast<int32_t>(p.slot) / blocks_ % blocks_,
               bz = static_cast<int32_t>(p.slot) / blocks_ / blocks_;
    size_t local = 0;
    for (size_t word = 0; word < 24; ++word)
      for (uint64_t left = p.from->edges[word]; left != 0; left &= left - 1, ++local) {
        const uint32_t to = number[p.first + local];
        if (to == UINT32_MAX)
          continue;
        const auto bit = static_cast<int32_t>(64 * word) + std::countr_zero(left);
        const int32_t voxel = bit / 3;
        std::memcpy(&out->positions[3 * size_t{to}], &p.from->positions[3 * local], 12);
        std::memcpy(&out->normals[3 * size_t{to}], &p.from->normals[3 * local], 12);
        std::memcpy(&out->colours[3 * size_t{to}], &p.from->colours[3 * local], 3);
        out->keys[to] = lattice::vertex_key(origin_[0] + bx * 8 + (voxel & 7), origin_[1] + by * 8 + (voxel >> 3 & 7),
                                            origin_[2] + bz * 8 + (voxel >> 6), bit % 3);
      }
  }
  surface_ = std::move(out);
  return surface_;
}

} // namespace tessera::cpu
