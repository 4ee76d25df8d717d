// Rays made on a device are the same set, and the same counts, as those of the CPU.

#include "cuda_world.hpp"

#include <limits>

using namespace tessera;
using namespace tessera::test;

namespace {

void check_same(async_fields& device, const map_settings& map, const std::shared_ptr<const keyframe_body>& body, const pose& at) {
  ray_counts expected, found;
  const auto reference = in_order(make_rays(map, *body, at, expected));
  const auto rays = in_order(rays_of(device, body, at, found));
  CHECK(rays == reference);
  CHECK(found.valid == expected.valid);
  CHECK(found.not_finite == expected.not_finite);
  CHECK(found.out_of_range == expected.out_of_range);
  CHECK(found.low_confidence == expected.low_confidence);
  CHECK(found.beyond_map == expected.beyond_map);
}

std::shared_ptr<owned_keyframe_body> cloud(std::mt19937& random, size_t points, uint32_t channels, bool confidence, float scale) {
  std::normal_distribution<float> coordinate(0.f, scale);
  std::uniform_real_distribution<float> unit(0.f, 1.f);
  auto body = std::make_shared<owned_keyframe_body>();
  body->channel_count = channels;
  const float odd[] = {std::nanf(""), std::numeric_limits<float>::infinity(),   -std::numeric_limits<float>::infinity(),
                       1e30f,         std::numeric_limits<float>::denorm_min(), 0.f,
                       -0.f};
  for (size_t i = 0; i < points; ++i) {
    for (int k = 0; k < 3; ++k)
      body->point_data.push_back(random() % 61 == 0 ? odd[random() % std::size(odd)] : coordinate(random));
    for (uint32_t k = 0; k < channels; ++k)
      body->colour_data.push_back(static_cast<uint8_t>(random()));
    if (confidence)
      body->confidence_data.push_back(random() % 29 == 0 ? std::nanf("") : unit(random));
  }
  return body;
}

} // namespace

TEST_CASE("rays of a device equal those of the CPU as a set") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    std::mt19937 random(seed);
    for (const float voxel_m : {0.05f, 0.013f}) {
      map_settings map = map_of(64);
      map.voxel_m = voxel_m;
      map.truncation_m = 3 * voxel_m;
      map.min_confidence = 0.3f;
      map.max_range_m = 8.f;
      const auto fields = device.open(map, small_pool(64));
      for (const uint32_t channels : {3u, 4u})
        for (const bool confidence : {false, true})
          for (const size_t points : {size_t{5000}, size_t{1}, size_t{700}})
            check_same(*fields, map, cloud(random, points, channels, confidence, 2.f), random_pose(random));
    }
  }
}

TEST_CASE("rays of keyframes with a scale equal those of the CPU") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    std::mt19937 random(seed);
    auto map = map_of(64);
    map.max_range_m = 8.f;
    const auto fields = device.open(map, small_pool(64));
    for (const float scale : {0.01f, 0.5f, 0.9997f, 1.4f, 100.f}) {
      INFO("scale " << scale);
      auto at = scaled(random_pose(random), scale);
      for (const size_t axis : {0, 1, 2})
        at.m[4 * axis + 3] *= scale;
      check_same(*fields, map, cloud(random, 1000, 3, false, 4.f * scale), at);
    }
  }
}

TEST_CASE("a device makes no rays of a keyframe without one good point, also if it is the first") {
  auto body = std::make_shared<owned_keyframe_body>();
  body->point_data.assign(300, std::nanf(""));
  body->colour_data.assign(300, 1);
  for (const auto& device : devices()) {
    INFO(device.name);
    const auto fields = device.open(map_of(64), small_pool(64));
    check_same(*fields, map_of(64), body, {});
  }
}

TEST_CASE("rays of a device equal those of the CPU with points in one cell, on its borders, and far away") {
  std::mt19937 random(std::random_device{}());
  for (const auto& device : devices()) {
    INFO(device.name);
    map_settings map = map_of(64);
    map.voxel_m = 0.0625f; // borders of cells are exact
    map.truncation_m = 0.1875f;
    map.min_range_m = 0.f;
    map.max_range_m = 1e9f;
    const auto fields = device.open(map, small_pool(64));
    auto one_cell = cloud(random, 4000, 3, false, 1e-3f);
    check_same(*fields, map, one_cell, pose{{1, 0, 0, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1}});
    auto borders = cloud(random, 4000, 3, false, 1.f);
    for (float& v : borders->point_data)
      v = std::floor(v * 16.f) / 16.f;
    check_same(*fields, map, borders, pose{});
    // 2^20 voxels are 65,536 m.
    auto far_off = cloud(random, 4000, 4, true, 60'000.f);
    check_same(*fields, map, far_off, random_pose(random));
    pose away = random_pose(random);
    away.m[3] = 1e7f;
    away.m[7] = -3e8f;
    check_same(*fields, map, far_off, away);
    away.m[0] = std::nanf("");
    check_same(*fields, map, far_off, away);
    check_same(*fields, map, std::make_shared<owned_keyframe_body>(), pose{});
  }
}

TEST_CASE("a device's table of cells is clean for the next keyframe, smaller or larger") {
  std::mt19937 random(7);
  for (const auto& device : devices()) {
    INFO(device.name);
    const auto fields = device.open(map_of(64), small_pool(64));
    for (const size_t points : {size_t{3000}, size_t{100}, size_t{9000}, size_t{3000}})
      check_same(*fields, map_of(64), cloud(random, points, 3, false, 1.f), random_pose(random));
  }
}
