#include "gpu/map/weld.hpp"

#include <algorithm>
#include <cstring>

namespace tessera {

mesh weld(std::span<const region_mesh> regions) {
  struct origin {
    uint64_t key;
    uint32_t region, vertex;
  };
  std::vector<origin> vertices;
  for (uint32_t r = 0; r < regions.size(); ++r)
    for (uint32_t v = 0; v < regions[r].surface->vertices(); ++v)
      vertices.push_back({regions[r].surface->keys[v], r, v});
  std::sort(vertices.begin(), vertices.end(), [](const origin& a, const origin& b) { return a.key < b.key; });
  std::vector<std::vector<uint32_t>> number(regions.size());
  for (size_t r = 0; r < regions.size(); ++r)
    number[r].resize(regions[r].surface->vertices());
  mesh out;
  for (const origin& o : vertices) {
    const mesh& from = *regions[o.region].surface;
    if (out.keys.empty() || out.keys.back() != o.key) {
      out.keys.push_back(o.key);
      const auto copy = [&](auto& to, const auto& source) {
        to.insert(to.end(), source.begin() + 3 * o.vertex, source.begin() + 3 * o.vertex + 3);
      };
      copy(out.positions, from.positions);
      copy(out.normals, from.normals);
      copy(out.colours, from.colours);
    }
    number[o.region][o.vertex] = static_cast<uint32_t>(out.keys.size() - 1);
  }
  // Triangles start at their least vertex and are sorted.
  std::vector<std::array<uint32_t, 3>> triangles;
  for (size_t r = 0; r < regions.size(); ++r) {
    const auto& indices = regions[r].surface->indices;
    for (size_t i = 0; i < indices.size(); i += 3) {
      std::array<uint32_t, 3> t{number[r][indices[i]], number[r][indices[i + 1]], number[r][indices[i + 2]]};
      std::rotate(t.begin(), std::min_element(t.begin(), t.end()), t.end());
      triangles.push_back(t);
    }
  }
  std::sort(triangles.begin(), triangles.end());
  out.indices.resize(3 * triangles.size());
  if (!triangles.empty())
    std::memcpy(out.indices.data(), triangles.data(), out.indices.size() * sizeof(uint32_t));
  return out;
}

} // namespace tessera
