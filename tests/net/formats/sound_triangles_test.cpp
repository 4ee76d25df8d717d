#include "net/formats/sound_triangles.hpp"
#include "tests/support/synthetic_mesh.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace tessera;

namespace {

using numbers = std::vector<uint32_t>;

/// Two squares of two triangles, one above the other, the lower one turned over; `gap` apart.
std::vector<float> two_sheets(float gap) {
  return {0, 0, 0, 1, 0, 0, 1, 1, 0, 0, 1, 0, 0, 0, gap, 1, 0, gap, 1, 1, gap, 0, 1, gap};
}
const numbers up_and_down{0, 2, 1, 0, 3, 2, 4, 5, 6, 4, 6, 7};

} // namespace

TEST_CASE("A sound mesh stays as it is") {
  const auto whole = test::ground(-3, 9, 11, 0.05f);
  auto m = whole;
  take_vertices(m, sound_triangles(m.positions, m.indices));
  CHECK(m == whole);
}

TEST_CASE("Vertices that no triangle names go, whatever a mesh has of them") {
  mesh m;
  m.positions = {0, 0, 0, 7, 7, 7, 1, 0, 0, 0, 1, 0};
  m.keys = {10, 11, 12, 13};
  m.indices = {0, 2, 3};
  take_vertices(m, sound_triangles(m.positions, m.indices));
  CHECK(m.indices == numbers{0, 1, 2});
  CHECK(m.keys == std::vector<uint64_t>{10, 12, 13});
  CHECK(m.positions == std::vector<float>{0, 0, 0, 1, 0, 0, 0, 1, 0});
  CHECK(m.normals.empty());
}

TEST_CASE("Fans that touch in a vertex get one each") {
  // Two triangles that meet in vertex 0, a closed fan about it, and an open one of two.
  const std::vector<int32_t> places{0, 0,  0, 9,  0, 0, 9, 9,  0, -9, 0, 0, -9, -9, 0,
                                    0, -9, 9, -9, 9, 9, 9, -9, 9, 0,  9, 9, 0,  0,  -9};
  const auto sound = sound_triangles(places, {0, 1, 2, 0, 3, 4, 0, 5, 6, 0, 6, 7, 0, 7, 5, 0, 8, 9, 0, 9, 1});
  CHECK(sound.from == numbers{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0});
  // The first of each: which fan keeps the vertex is no matter, but each has one.
  const auto& i = sound.indices;
  CHECK(i[0] == i[15]);
  CHECK(i[0] == i[18]);
  CHECK(i[6] == i[9]);
  CHECK(i[6] == i[12]);
  CHECK(std::set{i[0], i[3], i[6]} == std::set<uint32_t>{0, 10, 11});
}

TEST_CASE("The sides of a wall without thickness go together") {
  CHECK(sound_triangles(two_sheets(0.1f), up_and_down).indices == up_and_down);
  CHECK(sound_triangles(two_sheets(0), up_and_down).indices.empty());
  auto minus = two_sheets(0);
  for (size_t v = 4; v < 8; ++v)
    minus[3 * v + 2] = -0.f;
  CHECK(sound_triangles(minus, up_and_down).indices.empty());
}

TEST_CASE("Of sheets that lie on each other the same way up one stays") {
  CHECK(sound_triangles(two_sheets(0), {0, 1, 2, 4, 5, 6, 5, 6, 4}).indices == numbers{0, 1, 2});
  CHECK(sound_triangles(two_sheets(0), {0, 2, 1, 4, 5, 6, 0, 1, 6}).indices == numbers{0, 1, 2});
  // What differs in one corner is another triangle.
  CHECK(sound_triangles(two_sheets(0), {0, 1, 2, 4, 7, 6}).indices.size() == 6);
}
