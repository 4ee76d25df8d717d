// The laws of the field on random keyframes: any order, any cut, undo, and meshes that never keep stale cells.

#include "gpu/backend.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>

using namespace tessera;

namespace {

struct scan {
  std::vector<ray> rays;
  pose at;
};

/// A keyframe of a wavy wall and of stray points, from a random rigid pose.
scan random_scan(const mapping& map, std::mt19937& random) {
  std::uniform_real_distribution<float> unit(-1.f, 1.f);
  float q[4] = {unit(random), unit(random), unit(random), unit(random)};
  const float norm = std::sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  for (float& v : q)
    v /= norm;
  const auto [w, x, y, z] = q;
  scan out;
  out.at.m = {1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), unit(random), 2 * (x * y + z * w), 1 - 2 * (x * x + z * z),
              2 * (y * z - x * w), unit(random), 2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), unit(random), 0, 0, 0, 1};
  owned_keyframe_body body;
  const auto& m = out.at.m;
  for (int i = 0; i < 3000; ++i) {
    const float u = unit(random), v = unit(random);
    const float c[3] = {u * 1.5f, v * 1.5f, i % 50 == 0 ? 3.f + unit(random) : 2.f + 0.3f * std::sin(3 * u)};
    for (int r = 0; r < 3; ++r)
      body.point_data.push_back(i % 97 == 0 ? std::nanf("") : m[4 * r] * c[0] + m[4 * r + 1] * c[1] + m[4 * r + 2] * c[2] + m[4 * r + 3]);
    for (int k = 0; k < 3; ++k)
      body.colour_data.push_back(static_cast<uint8_t>(random()));
  }
  ray_counts counts;
  out.rays = make_rays(map, body, out.at, counts);
  REQUIRE(counts.not_finite == 31);
  return out;
}

/// A whole map over one backend.
struct world {
  mapping map;
  std::unique_ptr<backend> field = make_cpu_backend(map);
  std::set<region_key> regions;
  explicit world(const mapping& m) : map(m) {}
  void add(const scan& s, int sign = 1) {
    uint64_t beyond = 0;
    const auto cut = partition_rays(map, s.rays, s.at, beyond);
    for (const auto& part : cut.parts) {
      regions.insert(part.region);
      const ray_job job{cut.batch, part.first, part.count, s.at, sign, 0, 0};
      field->integrate(part.region, std::span(&job, 1));
    }
  }
  [[nodiscard]] field_stats stats() const {
    field_stats sum;
    for (const auto& r : regions) {
      const auto s = field->stats(r);
      sum.hash += s.hash;
      sum.blocks += s.blocks;
      sum.voxels += s.voxels;
    }
    return sum;
  }
  [[nodiscard]] std::vector<region_mesh> meshes() const {
    std::vector<region_mesh> out;
    for (const auto& r : regions)
      out.push_back({r, 0, field->extract(r)});
    return out;
  }
};

mapping map_of(uint32_t region_voxels) {
  mapping m;
  m.voxel_m = 0.05f;
  m.truncation_m = 0.15f;
  m.region_voxels = region_voxels;
  return m;
}

struct keyframes {
  unsigned seed = std::random_device{}();
  std::mt19937 random{seed};
  std::vector<scan> scans;
  explicit keyframes(size_t count) {
    for (size_t i = 0; i < count; ++i)
      scans.push_back(random_scan(map_of(64), random));
  }
};

} // namespace

TEST_CASE("any order and any cut give the same field and the same surface") {
  keyframes k(6);
  INFO("seed " << k.seed);
  world first(map_of(64));
  for (const auto& s : k.scans)
    first.add(s);
  const auto surface = weld(first.meshes());
  REQUIRE(surface.triangles() > 1000);
  for (const uint32_t edge : {16u, 32u, 64u, 128u}) {
    INFO("region size " << edge);
    std::shuffle(k.scans.begin(), k.scans.end(), k.random);
    world other(map_of(edge));
    for (const auto& s : k.scans) {
      other.add(s);
      if (edge != 32)
        (void)other.meshes(); // meshed as it grows, or once at the end
    }
    CHECK(other.stats().hash == first.stats().hash);
    CHECK(other.stats().blocks == first.stats().blocks);
    CHECK(other.stats().voxels == first.stats().voxels);
    CHECK(weld(other.meshes()) == surface);
  }
}

TEST_CASE("what is retracted leaves nothing, neither in the field nor in the meshes") {
  keyframes k(5);
  INFO("seed " << k.seed);
  world calm(map_of(32)), busy(map_of(32));
  for (const auto& s : k.scans)
    busy.add(s);
  (void)busy.meshes();
  for (size_t i = 0; i < 3; ++i) {
    busy.add(k.scans[i], -1);
    (void)busy.meshes();
  }
  calm.add(k.scans[3]);
  calm.add(k.scans[4]);
  CHECK(busy.stats().hash == calm.stats().hash);
  CHECK(busy.stats().blocks == calm.stats().blocks);
  std::map<region_key, std::shared_ptr<const mesh>> expected;
  for (const auto& m : calm.meshes())
    expected[m.region] = m.surface;
  for (const auto& m : busy.meshes())
    CHECK(*m.surface == (expected.contains(m.region) ? *expected[m.region] : mesh{}));
  busy.add(k.scans[3], -1);
  busy.add(k.scans[4], -1);
  CHECK(busy.stats().hash == map_hash{});
  CHECK(busy.stats().blocks == 0);
  for (const auto& m : busy.meshes())
    CHECK(m.surface->triangles() == 0);
}

TEST_CASE("a single colour changes the hash") {
  keyframes k(1);
  world a(map_of(64)), b(map_of(64));
  a.add(k.scans[0]);
  k.scans[0].rays.front().g ^= 1;
  b.add(k.scans[0]);
  CHECK(a.stats().hash != b.stats().hash);
}

TEST_CASE("running out of memory leaves the field as it was") {
  keyframes k(2);
  INFO("seed " << k.seed);
  const auto map = map_of(256);
  world free(map), capped(map);
  free.add(k.scans[0]);
  uint64_t held = 0;
  for (const auto& r : free.regions)
    held += free.field->stats(r).bytes;
  capped.field = make_cpu_backend(map, held + 40 * 12'288);
  capped.add(k.scans[0]);
  const auto before = capped.stats();
  uint64_t beyond = 0;
  const auto cut = partition_rays(map, k.scans[1].rays, k.scans[1].at, beyond);
  size_t refused = 0;
  for (const auto& part : cut.parts) {
    const ray_job job{cut.batch, part.first, part.count, k.scans[1].at, 1, 0, 0};
    const auto was = capped.field->stats(part.region).hash;
    try {
      capped.field->integrate(part.region, std::span(&job, 1));
      const ray_job undo{cut.batch, part.first, part.count, k.scans[1].at, -1, 0, 0};
      capped.field->integrate(part.region, std::span(&undo, 1));
    } catch (const std::bad_alloc&) {
      ++refused;
    }
    CHECK(capped.field->stats(part.region).hash == was);
  }
  CHECK(refused > 0);
  CHECK(capped.stats().hash == before.hash);
}
