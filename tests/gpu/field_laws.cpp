// The laws of the field on random keyframes: any order, any cut, undo, and meshes that never keep stale
// cells.

#include "random_map.hpp"

#include <algorithm>
#include <map>

using namespace tessera;
using namespace tessera::test;

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
