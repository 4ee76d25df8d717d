#include "net/sinks/flat_triangles.hpp"
#include "synthetic_mesh.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace tessera;

namespace {

mesh of(std::vector<float> positions, std::vector<uint32_t> indices) {
  mesh m;
  m.positions = std::move(positions);
  m.normals.assign(m.positions.size(), 0);
  m.colours.assign(m.positions.size(), 0);
  for (size_t v = 0; v < m.positions.size() / 3; ++v) {
    m.keys.push_back(v);
    m.colours[3 * v] = static_cast<uint8_t>(v);
  }
  m.indices = std::move(indices);
  return m;
}

} // namespace

TEST_CASE("A mesh with nothing flat stays as it is") {
  const auto whole = test::ground(-3, 9, 11, 0.05f);
  auto m = whole;
  drop_flat_triangles(m);
  CHECK(m == whole);
}

TEST_CASE("What has no area goes, and its vertices with it") {
  // A repeated corner, two corners in one place, three in a line, nearly so; and one that is a triangle.
  auto m = of({0, 0, 0, 1, 0, 0, 1, 0, 0, 2, 0, 0, 3, 1e-9f, 0, 0, 1, 0}, {0, 0, 5, 1, 2, 5, 0, 1, 3, 0, 3, 4, 0, 2, 5});
  drop_flat_triangles(m);
  CHECK(m.indices == std::vector<uint32_t>{0, 1, 2});
  CHECK(m.keys == std::vector<uint64_t>{0, 2, 5});
  CHECK(m.positions == std::vector<float>{0, 0, 0, 1, 0, 0, 0, 1, 0});
  CHECK(m.colours == std::vector<uint8_t>{0, 0, 0, 2, 0, 0, 5, 0, 0});
}

TEST_CASE("Small and thin triangles stay while floats can tell") {
  auto m = of({0, 0, 0, 1e-6f, 0, 0, 0, 1e-6f, 0, 0, 0, 0, 1, 0, 0, 0.5f, 1e-5f, 0}, {0, 1, 2, 3, 4, 5});
  const auto whole = m;
  drop_flat_triangles(m);
  CHECK(m == whole);
}

TEST_CASE("On a grid, flat is what its places say") {
  auto m = of({0, 0, 0, 1, 0, 0, 2, 0.1f, 0, 0, 3, 0}, {0, 1, 2, 0, 1, 3});
  const std::vector<int32_t> places{0, 0, 0, 1 << 29, 0, 0, 1 << 30, 0, 0, 0, 3, 0};
  take_vertices(m, mend_flat_triangles(places, m.indices));
  CHECK(m.indices == std::vector<uint32_t>{0, 1, 2});
  CHECK(m.keys == std::vector<uint64_t>{0, 1, 3});
  CHECK(m.positions == std::vector<float>{0, 0, 0, 1, 0, 0, 0, 3, 0});
}

TEST_CASE("Two corners in one place become one") {
  // A square around an edge without length, 4 5.
  const std::vector<int32_t> places{-2, -2, 0, 2, -2, 0, 2, 2, 0, -2, 2, 0, 0, 0, 0, 0, 0, 0};
  const auto mended = mend_flat_triangles(places, {0, 1, 4, 1, 5, 4, 1, 2, 5, 2, 3, 5, 3, 4, 5, 3, 0, 4});
  CHECK(mended.from == std::vector<uint32_t>{0, 1, 2, 3, 5});
  CHECK(mended.indices == std::vector<uint32_t>{0, 1, 4, 1, 2, 4, 2, 3, 4, 3, 0, 4});
}

TEST_CASE("Three corners on a line turn their long side over") {
  const std::vector<int32_t> places{0, 0, 0, 1, 0, 0, 3, 0, 0, 1, 5, 0, 1, -5, 0};
  // 0 1 2 is flat; beyond its long side, 2 0, is 3.
  const auto mended = mend_flat_triangles(places, {0, 1, 2, 0, 2, 3, 0, 4, 1, 1, 4, 2});
  CHECK(mended.from.size() == 5);
  CHECK(mended.indices == std::vector<uint32_t>{0, 1, 3, 1, 2, 3, 0, 4, 1, 1, 4, 2});
}

TEST_CASE("Sheets that touch stay two") {
  // A tube of three sides, pinched to a line in the middle: its ring 3 4 5 has one place, and may not become one vertex.
  const std::vector<int32_t> places{0, 0, 0, 9, 0, 0, 0, 9, 0, 3, 3, 9, 3, 3, 9, 3, 3, 9, 0, 0, 18, 9, 0, 18, 0, 9, 18};
  std::vector<uint32_t> tube;
  for (uint32_t k = 0; k < 3; ++k)
    for (uint32_t low : {0u, 3u}) {
      const auto a = low + k, b = low + (k + 1) % 3;
      tube.insert(tube.end(), {a, b, a + 3, b, b + 3, a + 3});
    }
  const auto mended = mend_flat_triangles(places, tube);
  CHECK(mended.indices.size() / 3 == 6); // the others had no area
  const std::set<uint32_t> from(mended.from.begin(), mended.from.end());
  CHECK(from.contains(0));
  CHECK(from.contains(8));
  CHECK((from.count(3) + from.count(4) + from.count(5)) > 1);
}

TEST_CASE("A mesh that is all flat becomes empty") {
  auto m = of({0, 0, 0, 0, 0, 0, 0, 0, 0}, {0, 1, 2});
  drop_flat_triangles(m);
  CHECK(m.indices.empty());
  CHECK(m.positions.empty());
}
