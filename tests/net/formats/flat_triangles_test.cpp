#include "net/formats/flat_triangles.hpp"
#include "tests/support/synthetic_mesh.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace tessera;

namespace {

using triangles = std::vector<uint32_t>;

template <class T>
triangles mended(const std::vector<T>& places, triangles indices) {
  mend_flat_triangles(places, indices);
  return indices;
}

} // namespace

TEST_CASE("A mesh with nothing flat stays as it is") {
  const auto whole = test::ground(-3, 9, 11, 0.05f);
  CHECK(mended(whole.positions, whole.indices) == whole.indices);
}

TEST_CASE("What has no area and no neighbour goes") {
  // A repeated corner, three in a line, nearly so; and one that is a triangle.
  const std::vector<float> places{0, 0, 0, 1, 0, 0, 2, 0, 0, 3, 1e-9f, 0, 0, 1, 0};
  CHECK(mended(places, {0, 0, 4, 0, 1, 2, 0, 2, 3, 0, 1, 4}) == triangles{0, 1, 4});
}

TEST_CASE("Small and thin triangles stay while floats can tell") {
  const std::vector<float> places{0, 0, 0, 1e-6f, 0, 0, 0, 1e-6f, 0, 0, 0, 0, 1, 0, 0, 0.5f, 1e-5f, 0};
  CHECK(mended(places, {0, 1, 2, 3, 4, 5}) == triangles{0, 1, 2, 3, 4, 5});
}

TEST_CASE("On a grid, flat is what its places say") {
  CHECK(mended<int32_t>({0, 0, 0, 1 << 29, 0, 0, 1 << 30, 0, 0, 0, 3, 0}, {0, 1, 2, 0, 1, 3}) == triangles{0, 1, 3});
}

TEST_CASE("Two corners in one place become one") {
  // A square around an edge without length, 4 5.
  const std::vector<int32_t> places{-2, -2, 0, 2, -2, 0, 2, 2, 0, -2, 2, 0, 0, 0, 0, 0, 0, 0};
  const triangles square{0, 1, 4, 1, 5, 4, 1, 2, 5, 2, 3, 5, 3, 4, 5, 3, 0, 4};
  const triangles joined{0, 1, 5, 1, 2, 5, 2, 3, 5, 3, 0, 5};
  CHECK(mended(places, square) == joined);
  // Also an edge that is shorter than what floats can tell at the mesh's size.
  std::vector<float> floats(places.begin(), places.end());
  floats[3 * 4] = 1e-9f;
  CHECK(mended(floats, square) == joined);
}

TEST_CASE("Three corners on a line turn their long side over") {
  const std::vector<int32_t> places{0, 0, 0, 1, 0, 0, 3, 0, 0, 1, 5, 0, 1, -5, 0};
  // 0 1 2 is flat; beyond its long side, 2 0, is 3.
  const triangles around{0, 1, 2, 0, 2, 3, 0, 4, 1, 1, 4, 2}, turned{0, 1, 3, 1, 2, 3, 0, 4, 1, 1, 4, 2};
  CHECK(mended(places, around) == turned);
  CHECK(mended(std::vector<float>(places.begin(), places.end()), around) == turned);
}

TEST_CASE("Sheets that touch stay two") {
  // A tube of three sides, pinched to a line in the middle: its ring 3 4 5 has one place, and may not become one vertex.
  const std::vector<int32_t> places{0, 0, 0, 9, 0, 0, 0, 9, 0, 3, 3, 9, 3, 3, 9, 3, 3, 9, 0, 0, 18, 9, 0, 18, 0, 9, 18};
  triangles tube;
  for (uint32_t k = 0; k < 3; ++k)
    for (uint32_t low : {0u, 3u}) {
      const auto a = low + k, b = low + (k + 1) % 3;
      tube.insert(tube.end(), {a, b, a + 3, b, b + 3, a + 3});
    }
  const auto left = mended(places, tube);
  CHECK(left.size() / 3 == 6); // the others had no area
  const std::set<uint32_t> named(left.begin(), left.end());
  CHECK(named.contains(0));
  CHECK(named.contains(8));
  CHECK((named.count(3) + named.count(4) + named.count(5)) > 1);
}

TEST_CASE("A bubble that becomes flat goes") {
  // A tetrahedron with two corners in one place: what would be left of it are the two sides of one triangle.
  const std::vector<int32_t> places{0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 5, 0};
  CHECK(mended(places, {0, 1, 2, 0, 2, 3, 0, 3, 1, 1, 3, 2}).empty());
}

TEST_CASE("A mesh that is all flat becomes empty") {
  CHECK(mended<float>({0, 0, 0, 0, 0, 0, 0, 0, 0}, {0, 1, 2}).empty());
}
