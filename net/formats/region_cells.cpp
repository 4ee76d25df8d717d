#include "net/formats/region_cells.hpp"

#include "gpu/shared/lattice.hpp"
#include "messages/xxh3.hpp"
#include "net/formats/cell_tables.hpp"
#include "net/formats/grid_places.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <utility>

namespace tessera {

namespace {

constexpr auto steps_per_voxel = static_cast<int32_t>(patch_steps_per_voxel);
constexpr uint64_t odd = 0x9e3779b97f4a7c15;

/// Finds the case whose triangles run along these edges, named as the table of marching cubes does.
class case_finder {
public:
  case_finder() {
    for (size_t inside = 1; inside < 255; ++inside) {
      const auto& list = marching_cubes::table[inside];
      uint64_t hash = 0;
      for (size_t i = 0; i < 3 * size_t{list.count}; ++i)
        hash = add(hash, list.edges[i]);
      auto at = slot(hash);
      while (cases_[at] != 0)
        at = (at + 1) % cases_.size();
      cases_[at] = static_cast<uint8_t>(inside);
    }
  }
  static uint64_t add(uint64_t hash, uint32_t edge) { return std::rotl(hash, 5) + edge; }
  /// Returns 0 if there is none.
  [[nodiscard]] uint8_t find(const std::array<uint8_t, 15>& edges, size_t count, uint64_t hash) const {
    for (auto at = slot(hash); cases_[at] != 0; at = (at + 1) % cases_.size())
      if (const auto& list = marching_cubes::table[cases_[at]]; 3 * size_t{list.count} == count && edges == list.edges)
        return cases_[at];
    return 0;
  }

private:
  static size_t slot(uint64_t hash) { return hash * odd >> 54; }
  std::array<uint8_t, 1024> cases_{};
};

/// The lower end of a vertex's edge in its region, 10 bits an axis, and above them the edge's own axis.
using local_edge = uint32_t;
constexpr uint32_t bits_per_axis = 10, of_x = (1u << bits_per_axis) - 1, of_y = of_x << bits_per_axis,
                   of_z = of_y << bits_per_axis;
constexpr uint32_t one_each = 1 | 1u << bits_per_axis | 1u << 2 * bits_per_axis;

/// The lowest corner of the cell that has three edges, if there is one.
uint32_t cell_with(local_edge a, local_edge b, local_edge c) {
  const auto least = [&](uint32_t axis) { return std::min({a & axis, b & axis, c & axis}); };
  return least(of_x) | least(of_y) | least(of_z);
}

} // namespace

size_t region_cells::triangles() const {
  size_t out = 0;
  for (const auto& cell : cells)
    out += marching_cubes::table[cell.inside].count;
  return out;
}

std::optional<region_cells> cells_of(const region_mesh& from, float voxel_m, int32_t region_voxels) {
  region_cells out{
    .region = from.region, .version = from.version, .region_voxels = region_voxels, .blocks = {}, .cells = {}, .edges = {}};
  if (region_voxels < lattice::block_edge || region_voxels > 256 || region_voxels % lattice::block_edge != 0)
    return std::nullopt;
  if (!from.surface)
    return out;
  const auto& m = *from.surface;
  const auto vertices = m.keys.size();
  if (m.positions.size() != 3 * vertices || m.colours.size() != 3 * vertices || m.indices.size() % 3 != 0)
    return std::nullopt;
  const auto places = grid_places(m, patch_quantum_m(voxel_m));
  const auto slots_per_axis = static_cast<uint32_t>(region_voxels / lattice::block_edge + 1);
  const auto slot_of = [&](const std::array<int32_t, 3>& at) {
    return (static_cast<uint32_t>(at[2] >> 3) * slots_per_axis + static_cast<uint32_t>(at[1] >> 3)) * slots_per_axis
           + static_cast<uint32_t>(at[0] >> 3);
  };
  const int64_t first[3]
    = {int64_t{from.region.x} * region_voxels, int64_t{from.region.y} * region_voxels, int64_t{from.region.z} * region_voxels};
  // Vertices, and the blocks that have some.
  out.edges.resize(vertices);
  std::vector<local_edge> local(vertices);
  struct part {
    uint32_t slot, end;
  };
  std::vector<part> with_edges;
  auto block_before = UINT64_MAX;
  std::array<int32_t, 3> block{}, block_place{}; // in the region, and on the grid
  for (size_t v = 0; v < vertices; ++v) {
    const auto key = m.keys[v];
    if (v > 0 && key <= m.keys[v - 1])
      return std::nullopt;
    if (key >> 11 != block_before) {
      block_before = key >> 11;
      const auto edge = edge_of(block_before << 11);
      for (size_t a = 0; a < 3; ++a) {
        const auto at = edge.at[a] - first[a];
        if (at < 0 || at > region_voxels)
          return std::nullopt;
        block[a] = static_cast<int32_t>(at);
        block_place[a] = steps_per_voxel * edge.at[a];
      }
      with_edges.push_back({slot_of(block), 0});
    }
    with_edges.back().end = static_cast<uint32_t>(v + 1);
    const auto place = static_cast<int32_t>(key >> 2 & 511), axis = static_cast<int32_t>(key & 3);
    if (axis > 2)
      return std::nullopt;
    const int32_t in_block[3] = {place & 7, place >> 3 & 7, place >> 6};
    int32_t fraction = 0;
    auto packed = static_cast<uint32_t>(axis) << 3 * bits_per_axis;
    bool fits = true;
    for (int32_t a = 0; a < 3; ++a) {
      const auto i = static_cast<size_t>(a);
      fits &= block[i] + in_block[i] + (a == axis ? 1 : 0) <= region_voxels;
      const auto steps = places[3 * v + i] - block_place[i] - steps_per_voxel * in_block[i];
      // From 1 to 31 on its own axis, and 0 on others.
      fits &= static_cast<uint32_t>(steps - (a == axis ? 1 : 0)) <= (a == axis ? steps_per_voxel - 2u : 0u);
      fraction += steps;
      packed |= static_cast<uint32_t>(block[i] + in_block[i]) << bits_per_axis * static_cast<uint32_t>(a);
    }
    if (!fits)
      return std::nullopt;
    local[v] = packed;
    auto& to = out.edges[v];
    to.edge = static_cast<uint16_t>(3 * place + axis);
    to.fraction = static_cast<uint8_t>(fraction);
    for (size_t i = 0; i < 3; ++i)
      to.colour[i] = patch_colour(m.colours[3 * v + i]);
  }
  // Cells, and the blocks that have some.
  uint32_t largest = 0;
  for (const auto i : m.indices)
    largest = std::max(largest, i);
  if (!m.indices.empty() && largest >= vertices)
    return std::nullopt;
  static const case_finder finder;
  std::vector<uint8_t> is_used(vertices, 0);
  std::vector<part> with_cells;
  out.cells.reserve(vertices);
  uint64_t cell_before = 0;
  const auto cell_at = [&](size_t t) { return cell_with(local[m.indices[t]], local[m.indices[t + 1]], local[m.indices[t + 2]]); };
  const auto corners = m.indices.size();
  for (size_t t = 0, cell = corners > 0 ? cell_at(0) : 0, next = cell; t < corners; cell = next) {
    // The triangles of one cell follow each other.
    std::array<uint8_t, 15> edges{};
    size_t count = 0;
    uint64_t hash = 0;
    do {
      for (size_t k = 0; k < 3; ++k) {
        const auto v = m.indices[t++];
        is_used[v] = 1;
        const auto axis = local[v] >> 3 * bits_per_axis;
        const auto corner = (local[v] & (of_x | of_y | of_z)) - static_cast<uint32_t>(cell);
        if ((corner & ~one_each) != 0)
          return std::nullopt;
        const auto name = 3 * ((corner | corner >> (bits_per_axis - 1) | corner >> (2 * bits_per_axis - 2)) & 7) + axis;
        edges[count++] = static_cast<uint8_t>(name);
        hash = case_finder::add(hash, name);
      }
      if (t == corners)
        break;
      next = cell_at(t);
    } while (next == cell && count < edges.size());
    const auto inside = finder.find(edges, count, hash);
    if (inside == 0)
      return std::nullopt;
    const std::array<int32_t, 3> at{static_cast<int32_t>(cell & of_x), static_cast<int32_t>((cell & of_y) >> bits_per_axis),
                                    static_cast<int32_t>((cell & of_z) >> 2 * bits_per_axis)};
    const auto slot = slot_of(at);
    const auto place = static_cast<uint16_t>((at[2] & 7) << 6 | (at[1] & 7) << 3 | (at[0] & 7));
    const auto order = uint64_t{slot} << 9 | place;
    if (!out.cells.empty() && order <= cell_before)
      return std::nullopt;
    cell_before = order;
    if (with_cells.empty() || with_cells.back().slot != slot)
      with_cells.push_back({slot, 0});
    out.cells.push_back({place, inside});
    with_cells.back().end = static_cast<uint32_t>(out.cells.size());
  }
  if (std::find(is_used.begin(), is_used.end(), uint8_t{0}) != is_used.end())
    return std::nullopt;
  // Both together.
  out.blocks.reserve(with_edges.size() + with_cells.size());
  uint32_t end_of_cells = 0, end_of_edges = 0;
  for (size_t c = 0, e = 0; c < with_cells.size() || e < with_edges.size();) {
    const auto cell_slot = c < with_cells.size() ? with_cells[c].slot : UINT32_MAX;
    const auto edge_slot = e < with_edges.size() ? with_edges[e].slot : UINT32_MAX;
    if (cell_slot <= edge_slot)
      end_of_cells = with_cells[c++].end;
    if (edge_slot <= cell_slot)
      end_of_edges = with_edges[e++].end;
    out.blocks.push_back({std::min(cell_slot, edge_slot), end_of_cells, end_of_edges});
  }
  return out;
}

grid_triangles triangles_of(const region_cells& from) {
  grid_triangles out;
  const auto slots_per_axis = static_cast<uint32_t>(from.region_voxels / lattice::block_edge + 1);
  const auto row = static_cast<size_t>(from.region_voxels) + 1;
  const size_t step[3] = {1, row, row * row};
  // For each voxel the number of its first vertex, and for each of its edges whether it has one. Only voxels of cells are read.
  const auto voxels = row * row * row;
  const auto first_of = std::make_unique_for_overwrite<uint32_t[]>(voxels);
  std::vector<uint8_t> axes_of(voxels, 0);
  const auto each_block = [&](const auto& visit) {
    uint32_t first_cell = 0, first_edge = 0;
    for (const auto& block : from.blocks) {
      const uint32_t at[3] = {block.slot % slots_per_axis * 8, block.slot / slots_per_axis % slots_per_axis * 8,
                              block.slot / slots_per_axis / slots_per_axis * 8};
      visit(at, first_cell, block.end_of_cells, first_edge, block.end_of_edges);
      first_cell = block.end_of_cells;
      first_edge = block.end_of_edges;
    }
  };
  out.places.resize(3 * from.edges.size());
  out.colours.resize(3 * from.edges.size());
  const int32_t first[3]
    = {from.region.x * from.region_voxels, from.region.y * from.region_voxels, from.region.z * from.region_voxels};
  each_block([&](const uint32_t* block, uint32_t, uint32_t, uint32_t begin, uint32_t end) {
    for (auto v = begin; v < end; ++v) {
      const auto& edge = from.edges[v];
      const auto place = edge.edge / 3u, axis = edge.edge % 3u;
      const uint32_t at[3] = {block[0] + (place & 7), block[1] + (place >> 3 & 7), block[2] + (place >> 6)};
      const auto voxel = at[0] + at[1] * step[1] + at[2] * step[2];
      if (axes_of[voxel] == 0)
        first_of[voxel] = v;
      axes_of[voxel] = static_cast<uint8_t>(axes_of[voxel] | 1u << axis);
      for (size_t a = 0; a < 3; ++a) {
        out.places[3 * v + a] = steps_per_voxel * (first[a] + static_cast<int32_t>(at[a])) + (a == axis ? edge.fraction : 0);
        out.colours[3 * v + a] = static_cast<uint8_t>(edge.colour[a] * patch_colour_step);
      }
    }
  });
  constexpr uint32_t before[] = {0, 1, 1, 2}; // of a voxel's edges, those along these axes
  out.indices.reserve(3 * from.triangles());
  each_block([&](const uint32_t* block, uint32_t begin, uint32_t end, uint32_t, uint32_t) {
    for (auto i = begin; i < end; ++i) {
      const auto& cell = from.cells[i];
      const auto voxel = block[0] + (cell.place & 7u) + (block[1] + (cell.place >> 3 & 7u)) * step[1]
                         + (block[2] + (cell.place >> 6u)) * step[2];
      const auto& list = marching_cubes::table[cell.inside];
      for (size_t k = 0; k < 3 * size_t{list.count}; ++k) {
        const uint32_t corner = list.edges[k] / 3u, axis = list.edges[k] % 3u;
        const auto at = voxel + (corner & 1) + (corner >> 1 & 1) * step[1] + (corner >> 2) * step[2];
        out.indices.push_back(first_of[at] + before[axes_of[at] & ((1u << axis) - 1)]);
      }
    }
  });
  return out;
}

std::vector<block_digest> digests_of(const region_cells& from) {
  std::vector<block_digest> out;
  out.reserve(from.blocks.size());
  std::vector<uint64_t> record;
  uint32_t cell = 0, edge = 0;
  for (const auto& block : from.blocks) {
    record.assign(1, block.end_of_cells - cell);
    for (; cell < block.end_of_cells; ++cell)
      record.push_back(uint64_t{from.cells[cell].place} << 8 | from.cells[cell].inside);
    for (; edge < block.end_of_edges; ++edge) {
      const auto& e = from.edges[edge];
      record.push_back(uint64_t{e.edge} << 32 | uint64_t{e.fraction} << 24 | uint64_t{e.colour[0]} << 16
                       | uint64_t{e.colour[1]} << 8 | e.colour[2]);
    }
    out.push_back({block.slot, XXH3_64bits(record.data(), record.size() * sizeof record[0])});
  }
  return out;
}

changed_blocks changes_between(uint64_t base_version, std::span<const block_digest> base, std::span<const block_digest> now) {
  changed_blocks out{base_version, {}};
  for (size_t b = 0, n = 0; b < base.size() || n < now.size();) {
    const auto base_slot = b < base.size() ? base[b].slot : UINT32_MAX, now_slot = n < now.size() ? now[n].slot : UINT32_MAX;
    if (base_slot != now_slot || base[b].digest != now[n].digest)
      out.slots.push_back(std::min(base_slot, now_slot));
    b += base_slot <= now_slot ? 1 : 0;
    n += now_slot <= base_slot ? 1 : 0;
  }
  return out;
}

changed_blocks changes_between(const region_cells& base, const region_cells& now) {
  return changes_between(base.version, digests_of(base), digests_of(now));
}

} // namespace tessera
