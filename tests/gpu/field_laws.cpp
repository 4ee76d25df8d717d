// The laws of the field on random keyframes: any order, any cut, undo, and meshes that never keep stale
// cells.

#include "random_map.hpp"

#include <algorithm>
#include <map>
#include <new>
#include <thread>

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

TEST_CASE("running out of memory leaves all fields as they were, blocks, bytes and meshes included") {
  const uint32_t threads = GENERATE(0u, 1u, 3u);
  const bool mesh = GENERATE(false, true);
  keyframes k(3);
  INFO("seed " << k.seed << ", " << threads << " threads" << (mesh ? ", meshed" : ""));
  const auto map = map_of(16);
  world free(map);
  free.add(k.scans[0]);
  if (mesh)
    (void)free.meshes();
  const auto whole = free.stats();
  // Room for a part of what the others touch.
  world capped(map, make_cpu_fields(map, {.threads = threads, .cap_bytes = whole.bytes + 40 * 12'288}));
  const auto take = [&](const scan& s, int sign) {
    auto what = request_of(s, sign);
    what.mesh = mesh;
    return capped.add(std::move(what));
  };
  take(k.scans[0], 1);
  const auto before = capped.stats();
  CHECK(before == whole);
  const auto held = capped.field->memory();
  const auto surface = weld(capped.meshes());
  const auto bytes = capped.stats().bytes;
  for (size_t i : {1, 2, 1}) {
    CHECK_THROWS_AS(take(k.scans[i], 1), std::bad_alloc);
    CHECK_THROWS_AS(take(k.scans[i], -1), std::bad_alloc);
    uint64_t beyond = 0;
    for (const auto& part : partition_rays(map, k.scans[i].rays, k.scans[i].at, beyond).parts)
      capped.regions.insert(part.region);
    CHECK(capped.stats().hash == before.hash);
    CHECK(capped.stats().blocks == before.blocks);
    CHECK(capped.field->memory().blocks == held.blocks);
    CHECK(capped.field->memory().regions_here == held.regions_here);
    if (!mesh)
      CHECK(capped.stats().bytes == bytes);
    CHECK(weld(capped.meshes()) == surface);
  }
  // All of it at once, from several threads.
  {
    std::vector<std::jthread> asking;
    for (size_t t = 0; t < 3; ++t)
      asking.emplace_back([&, t] {
        for (int round = 0; round < 4; ++round)
          try {
            take_and_wait(*capped.field, request_of(k.scans[1 + (t + static_cast<size_t>(round)) % 2]));
          } catch (const std::bad_alloc&) {
          }
      });
  }
  CHECK(capped.stats().hash == before.hash);
  CHECK(capped.field->memory().blocks == held.blocks);
  CHECK(weld(capped.meshes()) == surface);
}

TEST_CASE("what is taken away before it is added leaves nothing either") {
  keyframes k(2);
  INFO("seed " << k.seed);
  world calm(map_of(32)), early(map_of(32));
  calm.add(k.scans[0]);
  early.add(k.scans[1], -1);
  CHECK(early.stats().blocks > 0);
  early.add(k.scans[0]);
  early.add(k.scans[1]);
  CHECK(early.stats().hash == calm.stats().hash);
  CHECK(early.stats().blocks == calm.stats().blocks);
  CHECK(weld(early.meshes()) == weld(calm.meshes()));
}
