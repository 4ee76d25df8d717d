// A keyframe of the journal that is exported makes the rays that it was exported of.

#include "net/commands/journal_export.hpp"

#include "gpu/rays.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <random>
#include <tuple>

using namespace tessera;

namespace {

std::vector<ray> in_order(std::vector<ray> rays) {
  std::sort(rays.begin(), rays.end(),
            [](const ray& a, const ray& b) { return std::tie(a.x, a.y, a.z) < std::tie(b.x, b.y, b.z); });
  return rays;
}

} // namespace

TEST_CASE("an exported keyframe makes the same rays, whatever was rounded in its pose") {
  std::mt19937 random{5};
  std::normal_distribution<float> coordinate{0, 2}, turn{0, 1}, rounding{0, 2e-4f};
  map_settings map;
  map.voxel_m = 0.02f;
  for (const float scale : {1.f, 1.f, 0.37f, 12.5f}) {
    pose at;
    const float a = turn(random), b = turn(random);
    const float rotation[]{std::cos(a),
                           -std::sin(a) * std::cos(b),
                           std::sin(a) * std::sin(b),
                           std::sin(a),
                           std::cos(a) * std::cos(b),
                           -std::cos(a) * std::sin(b),
                           0,
                           std::sin(b),
                           std::cos(b)};
    for (size_t r = 0; r < 3; ++r) {
      for (size_t c = 0; c < 3; ++c)
        at.m[4 * r + c] = scale * (rotation[3 * r + c] + rounding(random));
      at.m[4 * r + 3] = coordinate(random);
    }
    owned_keyframe_body cloud;
    for (int i = 0; i < 20'000; ++i) {
      // Some in one cell, of which more than count, and the others wherever they are.
      const auto spread = i % 20 == 0 ? 1.f : 0.02f;
      for (size_t axis = 0; axis < 3; ++axis)
        cloud.point_data.push_back(at.m[4 * axis + 3] + scale * (spread * coordinate(random) + (axis == 2 ? 1.5f : 0)));
      for (int channel = 0; channel < 3; ++channel)
        cloud.colour_data.push_back(static_cast<uint8_t>(random()));
    }
    ray_counts counts;
    stored_keyframe stored;
    stored.id = {"kf", "monday"};
    stored.world_from_camera = stored.came_with = at;
    auto rays = in_order(make_rays(map, cloud, at, counts));
    CHECK(std::any_of(rays.begin(), rays.end(), [](const ray& one) { return one.points > 31; }));
    CHECK(rays.size() > 500);
    stored.rays.rays = std::make_shared<const std::vector<ray>>(rays);
    const auto frame = keyframe_of(stored, map.voxel_m);
    ray_counts again; // also those points that no longer count: who sends the keyframe again has the same rays
    CHECK(in_order(make_rays(map, *frame.body, frame.world_from_camera, again)) == rays);
    CHECK(frame.id == stored.id);
  }
}
