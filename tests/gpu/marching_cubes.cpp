#include "gpu/shared/marching_cubes.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

using namespace tessera;

namespace {

using segment = std::pair<int, int>; ///< two edges of the cell, in the order of the triangle

int axis_of(int edge) {
  return edge % 3;
}
int low_corner(int edge) {
  return edge / 3;
}
int high_corner(int edge) {
  return edge / 3 | 1 << edge % 3;
}

/// Whether the edge lies on the cell's face `axis` = side.
bool on_face(int edge, int axis, int side) {
  return axis_of(edge) != axis && (low_corner(edge) >> axis & 1) == side;
}

bool share_a_face(int p, int q) {
  for (int axis = 0; axis < 3; ++axis)
    for (int side = 0; side < 2; ++side)
      if (on_face(p, axis, side) && on_face(q, axis, side))
        return true;
  return false;
}

/// How often each segment is the side of a triangle, in its direction.
std::map<segment, int> sides(int inside) {
  std::map<segment, int> out;
  const auto& of = marching_cubes::table[static_cast<size_t>(inside)];
  for (size_t t = 0; t < of.count; ++t)
    for (size_t i = 0; i < 3; ++i)
      ++out[{of.edges[3 * t + i], of.edges[3 * t + (i + 1) % 3]}];
  return out;
}

/// Sides of only one triangle: where the surface leaves the cell.
std::set<segment> rim(int inside) {
  const auto all = sides(inside);
  std::set<segment> out;
  for (const auto& [s, count] : all)
    if (!all.contains({s.second, s.first}))
      out.insert(s);
  return out;
}

} // namespace

TEST_CASE("a cell that is all inside or all outside has no surface, every other one has 1 to 5 triangles") {
  for (int inside = 0; inside < 256; ++inside) {
    const int count = marching_cubes::table[static_cast<size_t>(inside)].count;
    INFO("case " << inside);
    if (inside == 0 || inside == 255)
      CHECK(count == 0);
    else
      CHECK((count >= 1 && count <= 5));
  }
}

TEST_CASE("the surface has its vertices on exactly the edges whose ends differ") {
  for (int inside = 0; inside < 256; ++inside) {
    INFO("case " << inside);
    std::set<int> crossing, used;
    for (int edge = 0; edge < 24; ++edge)
      if ((low_corner(edge) >> axis_of(edge) & 1) == 0 && (inside >> low_corner(edge) & 1) != (inside >> high_corner(edge) & 1))
        crossing.insert(edge);
    const auto& of = marching_cubes::table[static_cast<size_t>(inside)];
    for (size_t i = 0; i < 3u * of.count; ++i)
      used.insert(of.edges[i]);
    CHECK(crossing == used);
  }
}

TEST_CASE("inside a cell the surface is closed: it ends on faces only") {
  for (int inside = 0; inside < 256; ++inside) {
    for (const auto& [s, count] : sides(inside)) {
      INFO("case " << inside << ", edge " << s.first << " to " << s.second);
      CHECK(s.first != s.second);
      CHECK(count == 1); // no side is used twice the same way round
    }
    for (const auto& s : rim(inside)) {
      INFO("case " << inside << ", edge " << s.first << " to " << s.second);
      CHECK(share_a_face(s.first, s.second));
    }
  }
}

TEST_CASE("cells that share a face draw the same segments on it, each the other way round") {
  const auto on = [](const std::set<segment>& from, int axis, int side) {
    std::set<segment> out;
    for (const auto& s : from)
      if (on_face(s.first, axis, side) && on_face(s.second, axis, side))
        out.insert(s);
    return out;
  };
  std::vector<std::set<segment>> rims;
  for (int inside = 0; inside < 256; ++inside)
    rims.push_back(rim(inside));
  size_t pairs = 0;
  for (int axis = 0; axis < 3; ++axis) {
    const auto face = [&](int inside, int side) { // the bits of the face's corners, at the places of side 0
      int out = 0;
      for (int corner = 0; corner < 8; ++corner)
        if ((corner >> axis & 1) == side && (inside >> corner & 1) != 0)
          out |= 1 << (corner & ~(1 << axis));
      return out;
    };
    for (int here = 0; here < 256; ++here)
      for (int next = 0; next < 256; ++next) {
        if (face(here, 1) != face(next, 0))
          continue;
        ++pairs;
        std::set<segment> expected;
        for (const auto& [from, to] : on(rims[static_cast<size_t>(next)], axis, 0))
          expected.insert({to + (3 << axis), from + (3 << axis)});
        const auto drawn = on(rims[static_cast<size_t>(here)], axis, 1);
        if (drawn != expected) {
          INFO("cases " << here << " and " << next << ", axis " << axis);
          CHECK(drawn == expected);
        }
      }
  }
  CHECK(pairs == 3 * 256 * 16);
}

TEST_CASE("no triangle has a side within a face that is not part of the contour") {
  for (int inside = 0; inside < 256; ++inside) {
    const auto of_case = sides(inside);
    const auto contour = rim(inside);
    for (const auto& [s, count] : of_case) {
      INFO("case " << inside << ", edge " << s.first << " to " << s.second);
      CHECK((contour.count(s) == 1 || !share_a_face(s.first, s.second)));
    }
  }
}

TEST_CASE("the surface of any set of inside corners is closed and of two triangles at each edge") {
  const auto seed = std::random_device{}();
  std::mt19937 random(seed);
  INFO("seed " << seed);
  constexpr int n = 12;
  std::vector<uint8_t> in(n * n * n);
  for (int z = 1; z < n - 1; ++z) // nothing inside at the rim, so that no surface leaves the grid
    for (int y = 1; y < n - 1; ++y)
      for (int x = 1; x < n - 1; ++x)
        in[static_cast<size_t>((z * n + y) * n + x)] = random() % 2;
  std::map<std::pair<int, int>, int> used;
  for (int z = 0; z + 1 < n; ++z)
    for (int y = 0; y + 1 < n; ++y)
      for (int x = 0; x + 1 < n; ++x) {
        const auto at = [&](int corner) { return ((z + (corner >> 2)) * n + y + (corner >> 1 & 1)) * n + x + (corner & 1); };
        size_t set = 0;
        for (int c = 0; c < 8; ++c)
          set |= static_cast<size_t>(in[static_cast<size_t>(at(c))]) << c;
        const auto& of = marching_cubes::table[set];
        for (size_t t = 0; t < of.count; ++t)
          for (size_t i = 0; i < 3; ++i) {
            const int p = of.edges[3 * t + i], q = of.edges[3 * t + (i + 1) % 3];
            ++used[{3 * at(low_corner(p)) + axis_of(p), 3 * at(low_corner(q)) + axis_of(q)}];
          }
      }
  REQUIRE(used.size() > 1000);
  size_t open = 0, doubled = 0;
  for (const auto& [s, count] : used) {
    const auto back = used.find({s.second, s.first});
    open += back == used.end() || back->second != count;
    doubled += count != 1;
  }
  CHECK(open == 0);
  CHECK(doubled == 0);
}

TEST_CASE("triangles turn counter-clockwise seen from outside") {
  for (int corner = 0; corner < 8; ++corner) {
    const auto& of = marching_cubes::table[size_t{1} << corner];
    REQUIRE(of.count == 1);
    double p[3][3];
    for (size_t i = 0; i < 3; ++i)
      for (int axis = 0; axis < 3; ++axis)
        p[i][axis] = (low_corner(of.edges[i]) >> axis & 1) + (axis_of(of.edges[i]) == axis ? 0.5 : 0.0);
    double u[3], v[3], out = 0;
    for (int axis = 0; axis < 3; ++axis) {
      u[axis] = p[1][axis] - p[0][axis];
      v[axis] = p[2][axis] - p[0][axis];
    }
    for (int axis = 0; axis < 3; ++axis)
      out
        += (u[(axis + 1) % 3] * v[(axis + 2) % 3] - u[(axis + 2) % 3] * v[(axis + 1) % 3]) * (p[0][axis] - (corner >> axis & 1));
    INFO("corner " << corner);
    CHECK(out > 0);
  }
}
