// The field of a device has the same bytes as that of the CPU, and as the plain field.

#include "cuda_world.hpp"
#include "plain_field.hpp"

using namespace tessera;
using namespace tessera::test;

TEST_CASE("the field of a device equals the CPU's and the plain one's") {
  keyframes k(4);
  INFO("seed " << k.seed);
  for (const auto& device : devices())
    for (const uint32_t edge : {16u, 64u}) {
      INFO(device.name << ", region size " << edge);
      auto pool = small_pool(16384); // three times as large is nine times as many blocks
      pool.most_regions = 4096; // and many small regions
      two_worlds both(device, map_of(edge), pool);
      plain_field plain(map_of(edge));
      for (const auto& s : k.scans) {
        both.add(s);
        plain.add(s.rays, s.at);
        both.check_fields();
      }
      CHECK(both.device_stats().hash == plain.hash());
      // Retract one, revise another.
      both.add(k.scans[1], -1);
      plain.add(k.scans[1].rays, k.scans[1].at, -1);
      both.add(k.scans[2], -1);
      plain.add(k.scans[2].rays, k.scans[2].at, -1);
      const scan moved{k.scans[2].rays, random_similarity(k.random)};
      both.add(moved);
      plain.add(moved.rays, moved.at);
      both.check_fields();
      CHECK(both.device_stats().hash == plain.hash());
      // Nothing is left when all have gone.
      both.add(k.scans[0], -1);
      both.add(moved, -1);
      both.add(k.scans[3], -1);
      CHECK(both.device_stats().hash == map_hash{});
      CHECK(both.device_stats().blocks == 0);
    }
}

TEST_CASE("the field of a device equals the CPU's with thin and wide bands, far from the origin, and near the camera") {
  keyframes k(1);
  INFO("seed " << k.seed);
  for (const auto& device : devices())
    for (const float voxels : {1.f, 2.5f, 9.f}) {
      INFO(device.name << ", truncation " << voxels);
      map_settings map = map_of(32);
      map.truncation_m = voxels * map.voxel_m;
      map.min_range_m = 0.f;
      two_worlds both(device, map, small_pool(8192));
      auto frame = random_keyframe(k.random);
      auto body = std::make_shared<owned_keyframe_body>(dynamic_cast<const owned_keyframe_body&>(*frame.body));
      for (size_t i = 0; i < 60; ++i) // close to the camera, and on it
        body->point_data[3 * i] = frame.world_from_camera.m[3] + 0.002f * static_cast<float>(i);
      frame.body = body;
      both.add(scan_of(map, frame));
      scan far_off = scan_of(map, frame);
      far_off.at.m[3] = -26'200.f; // the map ends at 26,214 m
      both.add(far_off);
      far_off.at.m[3] = 26'212.f;
      both.add(far_off);
      both.check_fields();
    }
}

TEST_CASE("the field is empty again when all was taken away, before or after it was added") {
  keyframes k(3);
  INFO("seed " << k.seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    two_worlds both(device, map_of(32), small_pool());
    both.add(k.scans[0], -1); // in blocks that there are not yet
    both.add(k.scans[1]);
    both.check_fields();
    CHECK(both.device_stats().hash != map_hash{});
    both.add(k.scans[2], -1);
    both.add(k.scans[0]);
    both.add(k.scans[1], -1);
    both.check_fields();
    both.add(k.scans[2]);
    both.check_fields();
    CHECK(both.device_stats().hash == map_hash{});
    CHECK(both.device_stats().voxels == 0);
  }
}

TEST_CASE("a device that runs out of blocks refuses the whole of a keyframe and changes nothing") {
  keyframes k(2);
  INFO("seed " << k.seed);
  for (const auto& device : devices())
    for (const int sign : {1, -1}) {
      INFO(device.name << ", sign " << sign);
      const auto map = map_of(64);
      world whole(map);
      whole.add(k.scans[0]);
      const auto held = blocks_of(*whole.field, whole.regions);
      world capped(map, device.open(map, small_pool(held + 8)));
      capped.add(k.scans[0]);
      const auto before = capped.stats();
      CHECK(before.hash == whole.stats().hash);
      CHECK_THROWS_AS(capped.add(k.scans[1], sign), std::bad_alloc);
      const auto touched = regions_of(map, k.scans[1]);
      capped.regions.insert(touched.begin(), touched.end());
      CHECK(capped.stats() == before);
      capped.add(k.scans[0], -1);
      CHECK(capped.stats().hash == map_hash{});
      capped.add(k.scans[0]);
      // What is dropped makes room again.
      for (const auto& r : capped.regions)
        drop_and_wait(*capped.field, r);
      (void)capped.stats(); // memory() is up to date after it
      CHECK(capped.field->memory().regions_here == 0);
      CHECK(capped.field->memory().free_blocks == held + 8);
      capped.add(k.scans[0]);
      CHECK(capped.stats().hash == before.hash);
    }
}
