#include "net/sinks/flat_triangles.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace tessera {

namespace {

constexpr uint32_t unused = UINT32_MAX;

template <class T>
void keep_used(std::vector<T>& values, size_t each, const std::vector<uint32_t>& to, size_t kept) {
  if (values.size() != each * to.size())
    return; // a mesh may lack what its format does not show
  for (size_t v = 0; v < to.size(); ++v)
    if (to[v] != unused && to[v] != v)
      std::copy_n(values.begin() + static_cast<ptrdiff_t>(each * v), each, values.begin() + static_cast<ptrdiff_t>(each * to[v]));
  values.resize(each * kept);
}

/// Takes out what `is_flat(a, b, c)` says; tells where each vertex went.
template <class IsFlat>
std::vector<uint32_t> drop(mesh& m, IsFlat is_flat, size_t& kept) {
  size_t written = 0;
  for (size_t i = 0; i < m.indices.size(); i += 3) {
    const auto a = m.indices[i], b = m.indices[i + 1], c = m.indices[i + 2];
    if (a == b || b == c || c == a || is_flat(a, b, c))
      continue;
    m.indices[written++] = a;
    m.indices[written++] = b;
    m.indices[written++] = c;
  }
  m.indices.resize(written);
  const auto vertices = m.positions.size() / 3;
  std::vector<uint32_t> to(vertices, unused);
  for (auto i : m.indices)
    to[i] = 0;
  kept = 0;
  for (auto& v : to)
    if (v != unused)
      v = static_cast<uint32_t>(kept++);
  for (auto& i : m.indices)
    i = to[i];
  keep_used(m.positions, 3, to, kept);
  keep_used(m.normals, 3, to, kept);
  keep_used(m.colours, 3, to, kept);
  keep_used(m.keys, 1, to, kept);
  return to;
}

} // namespace

void drop_flat_triangles(mesh& m) {
  double largest = 0;
  for (auto x : m.positions)
    largest = std::max(largest, std::abs(static_cast<double>(x)));
  const auto step = largest * 0x1p-24; // of floats near the largest position
  size_t kept = 0;
  drop(
    m,
    [&](uint32_t a, uint32_t b, uint32_t c) {
      const auto side = [&](uint32_t from, uint32_t to) {
        std::array<double, 3> out{};
        for (size_t i = 0; i < 3; ++i)
          out[i] = static_cast<double>(m.positions[3 * to + i]) - static_cast<double>(m.positions[3 * from + i]);
        return out;
      };
      const auto squared = [](const std::array<double, 3>& v) { return v[0] * v[0] + v[1] * v[1] + v[2] * v[2]; };
      const auto u = side(a, b), v = side(a, c);
      const auto longest = std::max({squared(u), squared(v), squared(side(b, c))});
      const auto area
        = squared({u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]}); // twice it, squared
      // Twice the area is the longest side times the height over it.
      return !(area > longest * step * step);
    },
    kept);
}

void drop_flat_triangles(mesh& m, std::vector<int32_t>& places) {
  size_t kept = 0;
  const auto to = drop(
    m,
    [&](uint32_t a, uint32_t b, uint32_t c) {
      std::array<int64_t, 3> u{}, v{};
      for (size_t i = 0; i < 3; ++i) {
        u[i] = int64_t{places[3 * b + i]} - places[3 * a + i];
        v[i] = int64_t{places[3 * c + i]} - places[3 * a + i];
      }
      return u[1] * v[2] == u[2] * v[1] && u[2] * v[0] == u[0] * v[2] && u[0] * v[1] == u[1] * v[0];
    },
    kept);
  keep_used(places, 3, to, kept);
}

} // namespace tessera
