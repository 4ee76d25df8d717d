// Region meshes of a device have the same bytes as those of the CPU.

#include "cuda_world.hpp"

using namespace tessera;
using namespace tessera::test;

TEST_CASE("region meshes of a device equal the CPU's byte for byte, after each keyframe") {
  keyframes k(4);
  INFO("seed " << k.seed);
  for (const auto& device : devices())
    for (const uint32_t edge : {16u, 32u, 128u}) {
      INFO(device.name << ", region size " << edge);
      two_worlds both(device, map_of(edge), small_pool());
      for (const auto& s : k.scans) {
        both.add(s);
        both.check_meshes();
      }
      both.add(k.scans[0], -1);
      both.check_meshes();
      both.add(k.scans[2], -1);
      both.add({k.scans[2].rays, random_pose(k.random)});
      both.check_meshes();
      // As a mesh made from scratch.
      const auto grown = weld(both.device.meshes());
      CHECK(grown.triangles() > 1000);
      CHECK(weld(both.cpu.meshes()) == grown);
    }
}

TEST_CASE("a device's meshes are empty for unknown, dropped and empty regions") {
  keyframes k(1);
  for (const auto& device : devices()) {
    INFO(device.name);
    two_worlds both(device, map_of(32), small_pool());
    CHECK(extract_and_wait(*both.fields, {900, 0, 0})->triangles() == 0);
    CHECK(stats_and_wait(*both.fields, {900, 0, 0}) == field_stats{});
    both.add(k.scans[0]);
    both.add(k.scans[0], -1);
    both.check_meshes();
    const auto region = *both.device.regions.begin();
    drop_and_wait(*both.fields, region);
    CHECK(extract_and_wait(*both.fields, region)->vertices() == 0);
    CHECK(stats_and_wait(*both.fields, region).bytes == 0);
    drop_and_wait(*both.fields, region);
  }
}
