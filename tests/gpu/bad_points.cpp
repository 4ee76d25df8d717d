#include "gpu/cpu/region_entry.hpp"
#include "gpu/fields.hpp"
#include "gpu/rays.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <stdexcept>
#include <tuple>

using namespace tessera;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();

owned_keyframe_body body_of(std::vector<float> points, uint32_t channels = 3) {
  owned_keyframe_body body;
  body.channel_count = channels;
  body.colour_data.assign(points.size() / 3 * channels, 100);
  body.point_data = std::move(points);
  return body;
}

uint64_t all(const ray_counts& c) {
  return c.valid + c.not_finite + c.out_of_range + c.low_confidence + c.beyond_map;
}

std::string refusal(const map_settings& map) {
  try {
    map.validate();
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
  return {};
}

} // namespace

TEST_CASE("bad points are counted by what is wrong with them and make no rays") {
  const map_settings map;
  ray_counts counts;
  SECTION("none at all") {
    CHECK(make_rays(map, body_of({}), {}, counts).empty());
    CHECK(all(counts) == 0);
  }
  SECTION("not finite, on any axis") {
    auto body = body_of(
      {not_a_number, 0, 1, 0, not_a_number, 1, 0, 0, not_a_number, infinity, 0, 1, 0, -infinity, 1, 0, 0, infinity, 0, 0, 1});
    CHECK(make_rays(map, body, {}, counts).size() == 1);
    CHECK(counts.not_finite == 6);
    CHECK(counts.valid == 1);
    CHECK(all(counts) == 7);
  }
  SECTION("too near and too far; the bounds themselves are within") {
    auto body = body_of({0, 0, 0, 0, 0, 0.5f, 0, 0, 1, 0, 0, 2, 0, 0, 2.01f, 1e9f, 0, 0, 3e38f, 3e38f, -3e38f});
    map_settings near = map;
    near.min_range_m = 1;
    near.max_range_m = 2;
    CHECK(make_rays(near, body, {}, counts).size() == 2);
    CHECK(counts.out_of_range == 5);
    CHECK(counts.valid == 2);
    CHECK(all(counts) == 7);
  }
  SECTION("farther than 2^20 voxels, where the range lets them be") {
    map_settings far = map;
    far.max_range_m = 1e12f;
    CHECK(make_rays(far, body_of({1e9f, 0, 0, 0, -1e9f, 0, 0, 0, 5.3e4f, 0, 0, 1}), {}, counts).size() == 1);
    CHECK(counts.beyond_map == 3);
    CHECK(counts.valid == 1);
    CHECK(all(counts) == 4);
  }
  SECTION("not confident enough, or confident of nothing") {
    auto body = body_of({0, 0, 1, 0, 0, 2, 0, 0, 3, 0, 0, 4});
    body.confidence_data = {0.4f, 0.5f, not_a_number, 0.6f};
    map_settings sure = map;
    sure.min_confidence = 0.5f;
    CHECK(make_rays(sure, body, {}, counts).size() == 2);
    CHECK(counts.low_confidence == 2);
    CHECK(counts.valid == 2);
    CHECK(all(counts) == 4);
  }
  SECTION("seen from a camera that is nowhere") {
    pose lost;
    lost.m[3] = not_a_number;
    CHECK(make_rays(map, body_of({0, 0, 1, 0, 0, 2}), lost, counts).empty());
    CHECK(all(counts) == 2);
  }
}

TEST_CASE("any mixture of points adds up, rays hold just the valid ones") {
  const auto seed = std::random_device{}();
  std::mt19937 random(seed);
  INFO("seed " << seed);
  map_settings map;
  map.min_confidence = 0.2f;
  map.max_range_m = 1e6f;
  const float odd[] = {not_a_number, infinity, -infinity, 1e9f, -1e5f, 3e38f, 1e-40f, 0.f, -0.f};
  std::uniform_real_distribution<float> at(-2, 2), share(0, 1);
  owned_keyframe_body body;
  for (int i = 0; i < 3 * 5003; ++i)
    body.point_data.push_back(share(random) < 0.05f ? odd[random() % std::size(odd)] : at(random));
  for (int i = 0; i < 5003; ++i)
    body.confidence_data.push_back(share(random) < 0.1f ? not_a_number : share(random));
  body.colour_data.assign(3 * 5003, 7);
  ray_counts counts;
  const auto rays = make_rays(map, body, {}, counts);
  CHECK(all(counts) == 5003);
  CHECK(counts.valid > 0);
  CHECK(counts.not_finite > 0);
  CHECK(counts.beyond_map > 0);
  CHECK(counts.low_confidence > 0);
  uint64_t held = 0;
  for (const ray& r : rays)
    held += r.points; // cells of a few points each: none is at the cap of 255
  CHECK(held == counts.valid);
}

TEST_CASE("a million points of one cell are one ray with their mean") {
  constexpr size_t n = 1 << 20;
  owned_keyframe_body body;
  for (size_t i = 0; i < n; ++i) {
    const float x = i % 2 == 0 ? 0.01f : 0.04f;
    body.point_data.insert(body.point_data.end(), {x, 0.049f, 1.025f});
    body.colour_data.insert(body.colour_data.end(), {255, static_cast<uint8_t>(i % 2 == 0 ? 0 : 200), 1});
  }
  ray_counts counts;
  const auto rays = make_rays({}, body, {}, counts);
  CHECK(counts.valid == n);
  REQUIRE(rays.size() == 1);
  CHECK(std::abs(rays[0].x - 128) <= 1);
  CHECK(std::abs(rays[0].y - 251) <= 1);
  CHECK(std::abs(rays[0].z - (20 * 256 + 128)) <= 1);
  CHECK(rays[0].r == 255);
  CHECK(rays[0].g == 100);
  CHECK(rays[0].b == 1);
  CHECK(rays[0].points == 255);
}

TEST_CASE("a fourth colour channel changes nothing") {
  const std::vector<float> points{0, 0, 1, 0.3f, 0, 2, 0, 0.7f, 3, -1, 0, 4};
  auto three = body_of(points, 3), four = body_of(points, 4);
  for (size_t i = 0; i < 4; ++i)
    for (size_t c = 0; c < 4; ++c) {
      const auto value = static_cast<uint8_t>(40 * i + 10 * c);
      four.colour_data[4 * i + c] = value;
      if (c < 3)
        three.colour_data[3 * i + c] = value;
    }
  ray_counts a, b;
  const auto rays = make_rays({}, three, {}, a);
  CHECK(rays == make_rays({}, four, {}, b));
  REQUIRE(rays.size() == 4);
  CHECK(rays[3].r == 120);
  CHECK(rays[3].g == 130);
  CHECK(rays[3].b == 140);
}

TEST_CASE("rays of the same points do not depend on where the camera and the points are moved together") {
  pose moved; // a quarter turn and a shift that floats hold exactly
  moved.m = {0, -1, 0, 2, 1, 0, 0, -4, 0, 0, 1, 8, 0, 0, 0, 1};
  std::vector<float> here, there;
  for (int i = 0; i < 300; ++i) {
    const float p[3] = {static_cast<float>(i % 7) / 8, static_cast<float>(i % 11) / 16, 1 + static_cast<float>(i % 13) / 32};
    here.insert(here.end(), p, p + 3);
    there.insert(there.end(), {-p[1] + 2, p[0] - 4, p[2] + 8});
  }
  ray_counts a, b;
  CHECK(make_rays({}, body_of(here), {}, a) == make_rays({}, body_of(there), moved, b));
}

TEST_CASE("a region's part of the rays does to it what all rays would do") {
  const auto seed = std::random_device{}();
  std::mt19937 random(seed);
  INFO("seed " << seed);
  std::uniform_real_distribution<float> at(-1.2f, 1.2f);
  for (const uint32_t edge : {16u, 24u, 64u})
    for (const float truncation : {0.05f, 0.15f, 0.4f}) {
      map_settings map;
      map.region_voxels = edge;
      map.truncation_m = truncation;
      std::vector<float> points;
      for (int i = 0; i < 3 * 800; ++i)
        points.push_back(at(random));
      pose camera;
      camera.m[3] = at(random);
      camera.m[7] = at(random);
      ray_counts counts;
      const auto rays = make_rays(map, body_of(points), camera, counts);
      uint64_t beyond = 0;
      const auto parts = partition_rays(map, rays, camera, beyond);
      CHECK(beyond == 0);
      cpu::block_pool pool(0);
      const auto by_part = make_cpu_fields(map, {.threads = 0});
      take_request whole;
      whole.rays.rays = std::make_shared<const std::vector<ray>>(rays);
      whole.world_from_camera = camera;
      take_and_wait(*by_part, whole);
      std::set<region_key> touched;
      uint32_t next = 0;
      for (const auto& part : parts.parts) {
        CHECK(part.first == next);
        next += part.count;
        CHECK(touched.insert(part.region).second);
      }
      CHECK(next == parts.batch.rays->size());
      const int reach = static_cast<int>(std::ceil(40 / static_cast<float>(edge))) + 1;
      for (int z = -reach; z <= reach; ++z)
        for (int y = -reach; y <= reach; ++y)
          for (int x = -reach; x <= reach; ++x) {
            const region_key key{x, y, z};
            cpu::region_entry by_all(map, key, pool);
            by_all.field.integrate({.rays = rays, .world_from_camera = camera});
            const auto want = by_all.stats(), have = stats_and_wait(*by_part, key);
            const bool same_surface = *by_all.extract() == *extract_and_wait(*by_part, key);
            if (want != have || !same_surface) {
              INFO("region " << x << ' ' << y << ' ' << z << " of " << edge << " voxels, truncation " << truncation);
              CHECK(want == have);
              CHECK(same_surface);
            }
          }
    }
}

TEST_CASE("rays that end outside of the map are counted and left out") {
  const map_settings map;
  pose far;
  far.m[3] = static_cast<float>(1 << 19) * map.voxel_m;
  const std::vector<ray> rays{{0, 0, 2560, 1, 2, 3, 1}, {-256 * 200, 0, 2560, 1, 2, 3, 1}, {0, 0, 0, 1, 2, 3, 1}};
  uint64_t beyond = 0;
  const auto parts = partition_rays(map, rays, far, beyond);
  CHECK(beyond == 2); // the first is outside, the last has no direction
  CHECK(std::all_of(parts.batch.rays->begin(), parts.batch.rays->end(), [&](const ray& r) { return r == rays[1]; }));
  CHECK_FALSE(parts.batch.rays->empty());
}

TEST_CASE("bad settings of a map are refused by name and value") {
  CHECK(refusal({}).empty());
  const auto says = [](const map_settings& map, const std::string& name, const std::string& value) {
    const auto text = refusal(map);
    INFO("says: " << text);
    CHECK(text.find(name) != std::string::npos);
    CHECK(text.find(value) != std::string::npos);
    CHECK(text.find("must be") != std::string::npos);
    CHECK_THROWS_AS(make_cpu_fields(map, {}), std::invalid_argument);
  };
  map_settings map;
  SECTION("voxel size 0") {
    map.voxel_m = 0, says(map, "voxel size", "0");
  }
  SECTION("voxel size below 0") {
    map.voxel_m = -0.25f, says(map, "voxel size", "-0.25");
  }
  SECTION("voxel size nan") {
    map.voxel_m = not_a_number, says(map, "voxel size", "nan");
  }
  SECTION("truncation below a voxel") {
    map.truncation_m = 0.03125f, says(map, "truncation", "0.03125");
  }
  SECTION("truncation above 16 voxels") {
    map.truncation_m = 0.875f, says(map, "truncation", "0.875");
  }
  SECTION("truncation nan") {
    map.truncation_m = not_a_number, says(map, "truncation", "nan");
  }
  SECTION("region of odd size") {
    map.region_voxels = 20, says(map, "region size", "20");
  }
  SECTION("region too small") {
    map.region_voxels = 8, says(map, "region size", "8");
  }
  SECTION("region too large") {
    map.region_voxels = 264, says(map, "region size", "264");
  }
  SECTION("minimum range") {
    map.min_range_m = -1, says(map, "minimum range", "-1");
  }
  SECTION("maximum range") {
    map.max_range_m = 0.03125f, says(map, "maximum range", "0.03125");
  }
  SECTION("maximum range infinite") {
    map.max_range_m = infinity, says(map, "maximum range", "inf");
  }
  SECTION("confidence") {
    map.min_confidence = not_a_number, says(map, "confidence", "nan");
  }
}
