#pragma once
// A surface whose vertices lie on lattice edges, as those of marching cubes do: a hilly ground, cut along x.

#include "messages/map.hpp"

#include <cmath>
#include <memory>

namespace tessera::test {

/// The ground over lattice columns x0..x1 and 0..size: two neighbours that share a column share its vertices.
inline mesh ground(int x0, int x1, int size, float voxel_m) {
  mesh out;
  auto height = [&](int x, int y) {
    return 3.7f * std::sin(0.31f * static_cast<float>(x)) * std::cos(0.23f * static_cast<float>(y)) - 1.3f;
  };
  auto width = x1 - x0 + 1;
  for (int y = 0; y <= size; ++y)
    for (int x = x0; x <= x1; ++x) {
      out.positions.insert(out.positions.end(),
                           {static_cast<float>(x) * voxel_m, static_cast<float>(y) * voxel_m, height(x, y) * voxel_m});
      out.normals.insert(out.normals.end(), {0.f, 0.f, 1.f});
      out.colours.insert(out.colours.end(),
                         {static_cast<uint8_t>(3 * x), static_cast<uint8_t>(5 * y), static_cast<uint8_t>(x ^ y)});
      out.keys.push_back(static_cast<uint64_t>(y) << 32 | static_cast<uint32_t>(x));
    }
  for (int y = 0; y < size; ++y)
    for (int x = 0; x + 1 < width; ++x) {
      auto a = static_cast<uint32_t>(y * width + x), w = static_cast<uint32_t>(width);
      out.indices.insert(out.indices.end(), {a, a + 1, a + w, a + 1, a + w + 1, a + w});
    }
  return out;
}

inline region_mesh region_of_ground(int x0, int x1, int size, float voxel_m, uint64_t version = 7) {
  return {{x0, 0, -1}, version, std::make_shared<const mesh>(ground(x0, x1, size, voxel_m))};
}

} // namespace tessera::test
