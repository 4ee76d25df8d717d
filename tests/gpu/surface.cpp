// What the surface of random keyframes must be like, judged by a field that is written down plainly a second
// time.

#include "gpu/shared/marching_cubes.hpp"
#include "plain_field.hpp"
#include "random_map.hpp"

#include <algorithm>
#include <cstring>
#include <map>

using namespace tessera;
using namespace tessera::test;

namespace {

constexpr float truncations_m[] = {0.05f, 0.08f, 0.15f, 0.4f};

/// The lattice edge that a vertex's key names (docs/field.md, "Vertices").
struct lattice_edge {
  place low;
  size_t axis;
};

lattice_edge edge_of(uint64_t key) {
  const auto block = [](uint64_t bits) { return static_cast<int32_t>(bits % (1 << 17)) - (1 << 16); };
  const auto in_block = static_cast<int32_t>((key >> 2) % 512);
  return {{block(key >> 11) * 8 + in_block % 8, block(key >> 28) * 8 + in_block / 8 % 8, block(key >> 45) * 8 + in_block / 64},
          key % 4};
}

using side = std::pair<uint32_t, uint32_t>;

/// How many triangles run along each side, in its direction.
std::map<side, int> sides(const mesh& m) {
  std::map<side, int> out;
  for (size_t i = 0; i < m.indices.size(); i += 3)
    for (size_t k = 0; k < 3; ++k)
      ++out[{m.indices[i + k], m.indices[i + (k + 1) % 3]}];
  return out;
}

/// Sides that only one triangle has.
std::vector<side> rim(const mesh& m) {
  const auto all = sides(m);
  std::vector<side> out;
  for (const auto& [s, count] : all)
    if (!all.contains({s.second, s.first}))
      out.push_back(s);
  return out;
}

/// Whether both ends of a side lie in the plane `axis` = at.
bool lies_in(const lattice_edge& e, size_t axis, int32_t at) {
  return e.axis != axis && e.low[axis] == at;
}

/// The two cells at a face that holds both vertices; false if no face does.
bool cells_at(const lattice_edge& p, const lattice_edge& q, std::vector<std::array<place, 2>>& out) {
  out.clear();
  for (size_t axis = 0; axis < 3; ++axis) {
    if (!lies_in(p, axis, p.low[axis]) || !lies_in(q, axis, p.low[axis]))
      continue;
    // Faces of this plane with both lattice edges on their outline: the lowest corner is at most one step
    // before either.
    const size_t u = (axis + 1) % 3, v = (axis + 2) % 3;
    const auto on_outline = [&](const lattice_edge& e, const place& f) {
      for (const size_t along : {u, v}) {
        const size_t across = along == u ? v : u;
        if (e.axis == along && e.low[along] == f[along] && (e.low[across] == f[across] || e.low[across] == f[across] + 1))
          return true;
      }
      return false;
    };
    for (int32_t i = -1; i <= 0; ++i)
      for (int32_t j = -1; j <= 0; ++j) {
        place face = p.low;
        face[u] += i;
        face[v] += j;
        if (on_outline(p, face) && on_outline(q, face)) {
          place before = face;
          --before[axis];
          out.push_back({before, face});
        }
      }
  }
  return !out.empty();
}

std::array<float, 3> at(const std::vector<float>& values, uint32_t v) {
  return {values[3 * v], values[3 * v + 1], values[3 * v + 2]};
}

float dot(const std::array<float, 3>& a, const std::array<float, 3>& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

std::array<float, 3> minus(const std::array<float, 3>& a, const std::array<float, 3>& b) {
  return {a[0] - b[0], a[1] - b[1], a[2] - b[2]};
}

std::array<float, 3> cross(const std::array<float, 3>& a, const std::array<float, 3>& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}

} // namespace

TEST_CASE("the field is what its description says, sample by sample, and so is its hash") {
  const auto seed = std::random_device{}();
  std::mt19937 random(seed);
  INFO("seed " << seed);
  for (const float truncation : truncations_m) {
    INFO("truncation " << truncation);
    auto map = map_of(32);
    map.truncation_m = truncation;
    world field(map);
    plain_field plain(map);
    for (int i = 0; i < 3; ++i) {
      auto s = scan_of(map, random_keyframe(random));
      if (i == 2)
        s.at = random_similarity(random);
      for (const int sign : i == 1 ? std::vector<int>{1, -1, 1, 1} : std::vector<int>{1}) {
        field.add(s, sign);
        plain.add(s.rays, s.at, sign);
      }
    }
    CHECK(field.stats().hash == plain.hash());
    const auto observed
      = std::count_if(plain.voxels().begin(), plain.voxels().end(), [&](const auto& v) { return plain.observed(v.first); });
    CHECK(field.stats().voxels == static_cast<uint64_t>(observed));
  }
}

TEST_CASE("the surface has just the triangles that the plain field's cells have, with vertices where "
          "distances cross 0") {
  keyframes k(3);
  INFO("seed " << k.seed);
  const auto map = map_of(16);
  world field(map);
  plain_field plain(map);
  for (const auto& s : k.scans) {
    field.add(s);
    plain.add(s.rays, s.at);
  }
  const auto surface = weld(field.meshes());
  using corner = std::array<int32_t, 4>; // low end of the lattice edge, axis
  std::multiset<std::array<corner, 3>> have, want;
  const auto insert = [](auto& into, std::array<corner, 3> t) {
    std::rotate(t.begin(), std::min_element(t.begin(), t.end()), t.end());
    into.insert(t);
  };
  for (size_t i = 0; i < surface.indices.size(); i += 3) {
    std::array<corner, 3> t{};
    for (size_t c = 0; c < 3; ++c) {
      const auto e = edge_of(surface.keys[surface.indices[i + c]]);
      t[c] = {e.low[0], e.low[1], e.low[2], static_cast<int32_t>(e.axis)};
    }
    insert(have, t);
  }
  for (const auto& [v, words] : plain.voxels()) {
    if (!plain.is_whole(v))
      continue;
    size_t set = 0;
    for (int c = 0; c < 8; ++c)
      set |= static_cast<size_t>(plain.inside(plain_field::corner(v, c))) << c;
    const auto& triangles = marching_cubes::table[set];
    for (size_t i = 0; i < triangles.count; ++i) {
      std::array<corner, 3> t{};
      for (size_t c = 0; c < 3; ++c) {
        const int edge = triangles.edges[3 * i + c];
        const auto low = plain_field::corner(v, edge / 3);
        t[c] = {low[0], low[1], low[2], edge % 3};
      }
      insert(want, t);
    }
  }
  CHECK(have.size() > 1000);
  const bool same = have == want; // said so, or a difference would be printed whole
  CHECK(same);
  size_t wrong = 0;
  for (uint32_t i = 0; i < surface.vertices(); ++i) {
    const auto e = edge_of(surface.keys[i]);
    auto next = e.low;
    ++next[e.axis];
    const float d = plain.distance(e.low), t = std::clamp(d / (d - plain.distance(next)), 0.f, 1.f);
    for (size_t a = 0; a < 3; ++a)
      wrong += surface.positions[3 * i + a] != (static_cast<float>(e.low[a]) + (a == e.axis ? t : 0.f)) * map.voxel_m;
  }
  CHECK(wrong == 0);
}

TEST_CASE("regions meet exactly: what they share is equal byte for byte, and the surface ends only where a "
          "cell was not seen") {
  keyframes k(4);
  INFO("seed " << k.seed);
  for (const uint32_t edge : {16u, 32u, 64u}) {
    INFO("region size " << edge);
    world field(map_of(edge));
    plain_field plain(map_of(edge));
    for (const auto& s : k.scans) {
      field.add(s);
      plain.add(s.rays, s.at);
    }
    const auto parts = field.meshes();
    // The same key: the same bytes.
    std::map<uint64_t, std::array<uint8_t, 27>> seen;
    size_t shared = 0, different = 0;
    for (const auto& part : parts)
      for (size_t v = 0; v < part.surface->vertices(); ++v) {
        std::array<uint8_t, 27> bytes{};
        std::memcpy(bytes.data(), &part.surface->positions[3 * v], 12);
        std::memcpy(bytes.data() + 12, &part.surface->normals[3 * v], 12);
        std::memcpy(bytes.data() + 24, &part.surface->colours[3 * v], 3);
        const auto [at, fresh] = seen.try_emplace(part.surface->keys[v], bytes);
        shared += !fresh;
        different += at->second != bytes;
      }
    CHECK(shared > 50);
    CHECK(different == 0);
    // Both regions at a face have all vertices that the surface has there.
    const auto surface = weld(parts);
    const auto ends = rim(surface);
    size_t on_faces = 0, open = 0;
    for (const auto& [p, q] : ends) {
      const auto first = edge_of(surface.keys[p]), second = edge_of(surface.keys[q]);
      std::vector<std::array<place, 2>> cells;
      if (!cells_at(first, second, cells)) {
        ++open; // the surface never ends within a cell
        continue;
      }
      open += std::none_of(cells.begin(), cells.end(),
                           [&](const auto& two) { return !plain.is_whole(two[0]) || !plain.is_whole(two[1]); });
      for (size_t axis = 0; axis < 3; ++axis)
        on_faces += first.low[axis] % static_cast<int32_t>(edge) == 0 && lies_in(first, axis, first.low[axis])
                    && lies_in(second, axis, first.low[axis]);
    }
    CHECK_FALSE(ends.empty());
    INFO(ends.size() << " sides of one triangle, " << on_faces << " of them on faces of regions");
    CHECK(open == 0);
  }
}

TEST_CASE("no side has more than two triangles, and two neighbours go round the same way") {
  keyframes k(6);
  INFO("seed " << k.seed);
  world field(map_of(32));
  for (const auto& s : k.scans)
    field.add(s);
  const auto all = sides(weld(field.meshes()));
  REQUIRE(all.size() > 3000);
  CHECK(std::all_of(all.begin(), all.end(), [](const auto& s) { return s.second == 1 && s.first.first != s.first.second; }));
}

TEST_CASE("triangles and normals face the camera") {
  const auto seed = std::random_device{}();
  std::mt19937 random(seed);
  INFO("seed " << seed);
  for (int i = 0; i < 5; ++i) {
    const auto pose = random_pose(random);
    const auto frame = wall(pose, random, 30'000, false);
    world field(map_of(32));
    field.add(scan_of(field.map, frame));
    const auto surface = weld(field.meshes());
    REQUIRE(surface.triangles() > 1000);
    const std::array<float, 3> camera{pose.m[3], pose.m[7], pose.m[11]};
    size_t away = 0, normals_away = 0;
    for (size_t t = 0; t < surface.indices.size(); t += 3) {
      const auto p = at(surface.positions, surface.indices[t]), q = at(surface.positions, surface.indices[t + 1]),
                 r = at(surface.positions, surface.indices[t + 2]);
      const auto normal = cross(minus(q, p), minus(r, p));
      away += dot(normal, minus(camera, p)) < -1e-9f;
    }
    for (uint32_t v = 0; v < surface.vertices(); ++v)
      normals_away += dot(at(surface.normals, v), minus(camera, at(surface.positions, v))) <= 0;
    INFO(away << " of " << surface.triangles() << " triangles, " << normals_away << " of " << surface.vertices()
              << " normals face away");
    // A few at the wall's outline, where it is seen through single points.
    CHECK(1000 * away <= surface.triangles());
    CHECK(200 * normals_away <= surface.vertices());
  }
}
