#include "gpu/region_slices.hpp"
#include "gpu/map/offline_map.hpp"
#include "plain_field.hpp"
#include "random_map.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

using namespace tessera;
using namespace tessera::test;

namespace {

/// A wall at z = 1 m, 1 m wide and high, grey, in dense points, seen from the origin.
keyframe flat_wall() {
  auto body = std::make_shared<owned_keyframe_body>();
  for (int v = -50; v <= 50; ++v)
    for (int u = -50; u <= 50; ++u) {
      for (const float x : {static_cast<float>(u) * 0.01f, static_cast<float>(v) * 0.01f, 1.f})
        body->point_data.push_back(x);
      for (const uint8_t c : {uint8_t{90}, uint8_t{120}, uint8_t{150}})
        body->colour_data.push_back(c);
    }
  keyframe out;
  out.id.value = "wall";
  out.body = std::move(body);
  return out;
}

struct voxel {
  float distance;
  uint32_t weight;
  std::array<uint8_t, 3> colour;
};

/// The observed voxels of a slice, by their coordinates on the plane's axes.
std::map<std::array<int32_t, 2>, voxel> voxels_of(const field_slice& slice, const field_plane& plane, uint32_t region_voxels) {
  std::map<std::array<int32_t, 2>, voxel> out;
  const auto along = axes_along(plane.axis);
  const auto edge = static_cast<int32_t>(region_voxels);
  for (const auto& part : slice.parts)
    for (int32_t i = 0; i < edge * edge; ++i) {
      const auto n = static_cast<size_t>(i);
      if (part.weights[n] != 0)
        out[{on_axis(part.region, along[0]) * edge + i % edge, on_axis(part.region, along[1]) * edge + i / edge}]
          = {part.distances[n], part.weights[n], {part.colours[3 * n], part.colours[3 * n + 1], part.colours[3 * n + 2]}};
    }
  return out;
}

offline_map made_of(const map_settings& map, size_t devices = 1) {
  std::vector<std::shared_ptr<async_fields>> all;
  for (size_t i = 0; i < devices; ++i)
    all.push_back(make_cpu_fields(map, {.threads = 0}));
  offline_options options;
  options.keep_rays = true;
  return {map, std::move(all), options};
}

} // namespace

TEST_CASE("a slice through a wall is positive before it, zero at it, negative behind it, and ends where nothing was seen") {
  const auto map = map_of(16);
  auto made = made_of(map);
  made.offer(flat_wall(), [](const verdict&) {});
  const field_plane plane{.axis = 1, .layer = 0}; // x across, z up
  const auto slice = made.slice(plane);
  const auto voxels = voxels_of(slice, plane, map.region_voxels);
  const auto at = [&](int32_t x, int32_t z) { return voxels.at({x, z}); };
  CHECK(slice.cut == 2); // on both sides of x = 0
  for (int32_t x = -8; x <= 8; ++x) { // voxels of 5 cm: the wall is at z = 20
    INFO(x);
    // In truncations, of 3 voxels; along the ray, which is the longer the more it slants.
    const auto slant = std::hypot(1., 0.05 * x);
    CHECK(at(x, 20).distance == Approx(0).margin(0.02));
    CHECK(at(x, 18).distance == Approx(2 * slant / 3).margin(0.03));
    CHECK(at(x, 19).distance == Approx(slant / 3).margin(0.03));
    CHECK(at(x, 21).distance == Approx(-slant / 3).margin(0.03));
    CHECK(at(x, 20).weight > at(x, 18).weight);
    CHECK(at(x, 20).weight >= at(x, 21).weight);
    CHECK(at(x, 20).colour == std::array<uint8_t, 3>{90, 120, 150});
    for (const int32_t z : {0, 10, 16, 22, 23, 30})
      CHECK_FALSE(voxels.contains({x, z}));
  }
  CHECK_FALSE(voxels.contains({14, 20})); // beside it
}

TEST_CASE("a slice has what the field holds, along every axis and whatever the regions and devices") {
  const auto seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random{seed};
  const auto region_voxels = GENERATE(16u, 64u);
  const auto devices = GENERATE(size_t{1}, size_t{3});
  const auto map = map_of(region_voxels);
  auto made = made_of(map, devices);
  plain_field plain(map);
  for (int i = 0; i < 2; ++i) {
    auto frame = random_keyframe(random);
    frame.id.value = std::to_string(i);
    const auto scan = scan_of(map, frame);
    plain.add(scan.rays, scan.at);
    made.offer(frame, [](const verdict&) {});
  }
  // Planes through voxels that were observed.
  std::vector<place> observed;
  for (const auto& [v, words] : plain.voxels())
    if (plain.observed(v))
      observed.push_back(v);
  for (uint8_t axis = 0; axis < 3; ++axis) {
    const auto layer = observed[random() % observed.size()][axis];
    const field_plane plane{.axis = axis, .layer = layer};
    const auto voxels = voxels_of(made.slice(plane), plane, region_voxels);
    const auto along = axes_along(axis);
    size_t count = 0;
    for (const auto& v : observed) {
      if (v[axis] != layer)
        continue;
      ++count;
      const auto its = voxels.find({v[along[0]], v[along[1]]});
      REQUIRE(its != voxels.end());
      REQUIRE(its->second.distance == plain.distance(v) / 255);
    }
    CHECK(count == voxels.size());
    CHECK(count > 10);
  }
}

TEST_CASE("a part of a plane asks only the regions that it goes through") {
  const auto map = map_of(16);
  auto made = made_of(map);
  made.offer(flat_wall(), [](const verdict&) {});
  field_plane plane{.axis = 2, .layer = 20};
  const auto whole = made.slice(plane);
  CHECK(whole.cut > 1);
  plane.low = plane.high = {3, 3};
  const auto part = made.slice(plane);
  CHECK(part.cut == 1);
  REQUIRE(part.parts.size() == 1);
  CHECK(part.parts[0].region == region_key{0, 0, 1});
  plane.layer = 40;
  CHECK(made.slice(plane).parts.empty());
  CHECK_FALSE(goes_through(map, {.axis = 3, .layer = 20}, {0, 0, 1}));
  CHECK(goes_through(map, {.axis = 0, .layer = -1}, {-1, 5, 5}));
  CHECK_FALSE(goes_through(map, {.axis = 0, .layer = -17}, {-1, 5, 5}));
}

TEST_CASE("how many regions a slice may go through depends on their size alone") {
  CHECK(most_slice_regions(map_of(16)) == 32768);
  CHECK(most_slice_regions(map_of(64)) == 2048);
  CHECK(most_slice_regions(map_of(256)) == 128);
}

TEST_CASE("rays of a live keyframe are told with its pose, of others nothing") {
  const auto map = map_of(64);
  auto made = made_of(map);
  const auto frame = flat_wall();
  made.offer(frame, [](const verdict&) {});
  made.finish();
  const auto found = made.rays_of({"wall"});
  REQUIRE(found);
  CHECK(found->world_from_camera == frame.world_from_camera);
  auto rays = *found->batch.rays, wanted = scan_of(map, frame).rays;
  const auto by_place = [](const ray& a, const ray& b) { return std::tie(a.x, a.y, a.z) < std::tie(b.x, b.y, b.z); };
  std::sort(rays.begin(), rays.end(), by_place);
  std::sort(wanted.begin(), wanted.end(), by_place);
  CHECK(rays == wanted);
  CHECK_FALSE(made.rays_of({"door"}));
}
