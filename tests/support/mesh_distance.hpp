#pragma once
// How far points are from a mesh.

#include "messages/map.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace tessera::test {

/// Distances of points to the triangles of a mesh, exact up to a reach. The mesh must outlive it.
class mesh_distance {
public:
  mesh_distance(const mesh& surface, float reach_m) : surface_(surface), reach_(double{reach_m}) {
    for (uint32_t t = 0; t < surface.triangles(); ++t) {
      const auto corners = triangle(t);
      std::array<int64_t, 3> low{}, high{};
      for (size_t i = 0; i < 3; ++i) {
        low[i] = cell(std::min({corners[0][i], corners[1][i], corners[2][i]}) - reach_);
        high[i] = cell(std::max({corners[0][i], corners[1][i], corners[2][i]}) + reach_);
      }
      for (int64_t z = low[2]; z <= high[2]; ++z)
        for (int64_t y = low[1]; y <= high[1]; ++y)
          for (int64_t x = low[0]; x <= high[0]; ++x)
            cells_[key(x, y, z)].push_back(t);
    }
  }

  /// Whether a triangle lies within the reach of a point.
  [[nodiscard]] bool is_near(const float* p) const {
    const point at{double{p[0]}, double{p[1]}, double{p[2]}};
    const auto found = cells_.find(key(cell(at[0]), cell(at[1]), cell(at[2])));
    return found != cells_.end() && std::any_of(found->second.begin(), found->second.end(), [&](uint32_t t) {
             return distance(at, triangle(t)) <= reach_;
           });
  }

private:
  using point = std::array<double, 3>;

  [[nodiscard]] int64_t cell(double x) const { return static_cast<int64_t>(std::floor(x / (2 * reach_))); }
  static uint64_t key(int64_t x, int64_t y, int64_t z) {
    const auto bits = [](int64_t v) { return static_cast<uint64_t>(v + (1 << 20)) & 0x1fffff; };
    return bits(x) | bits(y) << 21 | bits(z) << 42;
  }
  [[nodiscard]] std::array<point, 3> triangle(uint32_t t) const {
    std::array<point, 3> out{};
    for (size_t c = 0; c < 3; ++c)
      for (size_t i = 0; i < 3; ++i)
        out[c][i] = double{surface_.positions[3 * size_t{surface_.indices[3 * size_t{t} + c]} + i]};
    return out;
  }
  static point minus(const point& a, const point& b) { return {a[0] - b[0], a[1] - b[1], a[2] - b[2]}; }
  static double dot(const point& a, const point& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }
  static point cross(const point& a, const point& b) {
    return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
  }
  static double to_segment(const point& p, const point& a, const point& b) {
    const auto along = minus(b, a), from = minus(p, a);
    const double size = dot(along, along), t = size > 0 ? std::clamp(dot(from, along) / size, 0.0, 1.0) : 0;
    const point off{from[0] - t * along[0], from[1] - t * along[1], from[2] - t * along[2]};
    return std::sqrt(dot(off, off));
  }
  /// To the plane where the point lies above the triangle, else to the nearest side.
  static double distance(const point& p, const std::array<point, 3>& t) {
    const auto normal = cross(minus(t[1], t[0]), minus(t[2], t[0]));
    const double size = std::sqrt(dot(normal, normal));
    bool above = size > 0;
    double nearest = 1e300;
    for (size_t i = 0; i < 3; ++i) {
      const auto &a = t[i], &b = t[(i + 1) % 3];
      above = above && dot(cross(minus(b, a), minus(p, a)), normal) >= 0;
      nearest = std::min(nearest, to_segment(p, a, b));
    }
    return above ? std::abs(dot(minus(p, t[0]), normal)) / size : nearest;
  }

  const mesh& surface_;
  const double reach_;
  std::unordered_map<uint64_t, std::vector<uint32_t>> cells_;
};

} // namespace tessera::test
