#pragma once
// The marching cubes mesh of a made-up field in a region, in canonical order: what a mesher gives, by the shortest way.

#include "gpu/shared/lattice.hpp"
#include "gpu/shared/marching_cubes.hpp"
#include "messages/map.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

namespace tessera::test {

/// What a field holds at a voxel: how far the surface is, negative inside, and a colour.
struct field_sample {
  float distance = 0;
  std::array<uint8_t, 3> colour{};
};
/// Nothing where nothing was observed.
using made_field = std::function<std::optional<field_sample>(int32_t x, int32_t y, int32_t z)>;

inline region_mesh mesh_of_field(const made_field& field, region_key region, int32_t region_voxels, float voxel_m,
                                 uint64_t version = 1) {
  struct vertex {
    std::array<float, 3> position;
    std::array<uint8_t, 3> colour;
    uint32_t number = 0;
  };
  const int32_t first[3] = {region.x * region_voxels, region.y * region_voxels, region.z * region_voxels},
                length = region_voxels + 1;
  std::vector<std::optional<field_sample>> samples;
  for (int32_t z = 0; z < length; ++z)
    for (int32_t y = 0; y < length; ++y)
      for (int32_t x = 0; x < length; ++x)
        samples.push_back(field(first[0] + x, first[1] + y, first[2] + z));
  const auto at = [&](int32_t x, int32_t y, int32_t z) -> const auto& {
    return samples[static_cast<size_t>((z * length + y) * length + x)];
  };
  std::map<uint64_t, vertex> vertices;
  std::vector<std::pair<uint64_t, std::array<uint64_t, 3>>> triangles; // by the place of their cell
  for (int32_t z = 0; z < region_voxels; ++z)
    for (int32_t y = 0; y < region_voxels; ++y)
      for (int32_t x = 0; x < region_voxels; ++x) {
        size_t inside = 0;
        bool observed = true;
        for (int32_t c = 0; c < 8; ++c) {
          const auto& sample = at(x + (c & 1), y + (c >> 1 & 1), z + (c >> 2));
          observed &= sample.has_value();
          inside |= sample && sample->distance < 0 ? size_t{1} << c : 0;
        }
        if (!observed)
          continue;
        const auto& list = marching_cubes::table[inside];
        const auto cell = lattice::vertex_key(first[0] + x, first[1] + y, first[2] + z, 0);
        for (size_t t = 0; t < list.count; ++t) {
          std::array<uint64_t, 3> keys{};
          for (size_t k = 0; k < 3; ++k) {
            const int32_t corner = list.edges[3 * t + k] / 3, axis = list.edges[3 * t + k] % 3;
            const int32_t low[3] = {x + (corner & 1), y + (corner >> 1 & 1), z + (corner >> 2)};
            keys[k] = lattice::vertex_key(first[0] + low[0], first[1] + low[1], first[2] + low[2], axis);
            const auto& a = *at(low[0], low[1], low[2]);
            const auto& b = *at(low[0] + (axis == 0), low[1] + (axis == 1), low[2] + (axis == 2));
            const auto share = std::clamp(a.distance / (a.distance - b.distance), 0.f, 1.f);
            vertex v{};
            for (size_t i = 0; i < 3; ++i) {
              v.position[i] = (static_cast<float>(first[i] + low[i]) + (static_cast<int32_t>(i) == axis ? share : 0.f)) * voxel_m;
              const auto from = static_cast<float>(a.colour[i]), to = static_cast<float>(b.colour[i]);
              v.colour[i] = static_cast<uint8_t>(std::floor(from + (to - from) * share + 0.5f));
            }
            vertices.emplace(keys[k], v);
          }
          triangles.emplace_back(cell, keys);
        }
      }
  std::stable_sort(triangles.begin(), triangles.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  mesh out;
  for (auto& [key, v] : vertices) {
    v.number = static_cast<uint32_t>(out.keys.size());
    out.keys.push_back(key);
    out.positions.insert(out.positions.end(), v.position.begin(), v.position.end());
    out.colours.insert(out.colours.end(), v.colour.begin(), v.colour.end());
    out.normals.insert(out.normals.end(), {0.f, 0.f, 1.f});
  }
  for (const auto& [cell, keys] : triangles)
    for (const auto key : keys)
      out.indices.push_back(vertices.at(key).number);
  return {region, version, std::make_shared<const mesh>(std::move(out))};
}

} // namespace tessera::test
