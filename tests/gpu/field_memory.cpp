// What a region says that it holds, and what counts against the memory cap: blocks, their meshes, and the surface.

#include "random_map.hpp"

#include "gpu/cpu/marching_cubes_surface.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

uint64_t bytes_of(const world& w) {
  return w.stats().bytes;
}

/// Whether there is no room for a scan. If there is, it is taken out again.
bool refuses(const world& w, const scan& s) {
  try {
    for (const int sign : {1, -1})
      take_and_wait(*w.field, request_of(s, sign));
    return false;
  } catch (const std::bad_alloc&) {
    return true;
  }
}

} // namespace

TEST_CASE("a region's bytes are its blocks, their meshes, and its surface") {
  keyframes k(2);
  INFO("seed " << k.seed);
  world w(map_of(64));
  w.add(k.scans[0]);
  size_t with_surface = 0;
  for (const auto& r : w.regions) {
    const auto blocks = stats_and_wait(*w.field, r).bytes;
    CHECK(blocks % sizeof(cpu::block) == 0);
    const auto surface = extract_and_wait(*w.field, r);
    const auto held = stats_and_wait(*w.field, r).bytes - blocks;
    // Every vertex and every triangle of the region stands in one block and in the surface; some vertices that no triangle needs
    // come on top.
    const auto least = surface->vertices() * (sizeof(cpu::block_mesh::vertex) + 24 + 3 + 8) + surface->indices.size() * (2 + 4);
    CHECK(held >= least);
    CHECK(held <= 2 * least + blocks / sizeof(cpu::block) * (sizeof(cpu::block_mesh) + 4096));
    with_surface += surface->triangles() > 0;
    extract_and_wait(*w.field, r);
    CHECK(stats_and_wait(*w.field, r).bytes == blocks + held);
  }
  CHECK(with_surface > 0);
  const auto regions = w.regions;
  w.add(k.scans[0], -1);
  (void)w.meshes();
  for (const auto& r : regions)
    CHECK(stats_and_wait(*w.field, r).bytes % sizeof(cpu::block) == 0); // blocks stay, meshes do not
}

TEST_CASE("what a region's meshes hold follows from what they are, not from what they were") {
  keyframes k(2);
  INFO("seed " << k.seed);
  world often(map_of(64)), once(map_of(64)); // the first one is meshed after each step
  for (const auto& [scan, sign] : {std::pair{0, 1}, {1, 1}, {1, -1}}) {
    often.add(k.scans[static_cast<size_t>(scan)], sign);
    once.add(k.scans[static_cast<size_t>(scan)], sign);
    (void)often.meshes();
  }
  (void)once.meshes();
  CHECK(bytes_of(often) == bytes_of(once));
}

TEST_CASE("the memory cap counts meshes, refuses no mesh, and has their room again when regions are dropped") {
  keyframes k(1);
  INFO("seed " << k.seed);
  const auto map = map_of(64);
  world free(map);
  free.add(k.scans[0]);
  const auto blocks = bytes_of(free);
  const auto surface = weld(free.meshes());
  const auto meshes = bytes_of(free) - blocks;
  REQUIRE(meshes > 2 * sizeof(cpu::block));
  scan elsewhere = k.scans[0]; // needs other blocks
  elsewhere.at.m[3] += 100.f;
  scan one_block; // a ray into the middle of a block writes to that block only
  one_block.rays = {{.x = 4 * 256, .y = 4 * 256, .z = 4 * 256, .points = 1}};
  one_block.at = {{1, 0, 0, 100.8f, 0, 1, 0, 1.6f, 0, 0, 1, 1.6f, 0, 0, 0, 1}};

  for (const uint64_t room : {0, 1}) {
    world capped(map, make_cpu_fields(map, {.threads = 0, .cap_bytes = blocks + meshes + room * sizeof(cpu::block)}));
    capped.add(k.scans[0]);
    (void)capped.meshes();
    CHECK(refuses(capped, one_block) == (room == 0));
  }

  // No room for meshes at all: they are made, and then there is none for blocks.
  world capped(map, make_cpu_fields(map, {.threads = 0, .cap_bytes = blocks + sizeof(cpu::block)}));
  for (int round = 0; round < 2; ++round) {
    capped.add(k.scans[0]);
    CHECK(weld(capped.meshes()) == surface);
    CHECK(bytes_of(capped) == blocks + meshes);
    CHECK(refuses(capped, elsewhere));
    for (const auto& r : capped.regions)
      drop_and_wait(*capped.field, r);
    CHECK(capped.field->memory().blocks == 0);
    CHECK(capped.field->memory().regions_here == 0);
  }
}
