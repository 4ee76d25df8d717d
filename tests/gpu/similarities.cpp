// Poses with a scale: rays are made once, in the keyframe's own frame and scale, and placed by whatever pose it has.

#include "gpu/map/offline_map.hpp"
#include "plain_field.hpp"
#include "random_map.hpp"

#include <algorithm>
#include <array>
#include <span>

using namespace tessera;
using namespace tessera::test;

namespace {

/// Points of a keyframe's own, and where they are in the world.
std::shared_ptr<const keyframe_body> seen(const std::vector<std::array<float, 3>>& own, const pose& at) {
  auto body = std::make_shared<owned_keyframe_body>();
  for (const auto& p : own)
    for (size_t r = 0; r < 3; ++r)
      body->point_data.push_back(at.m[4 * r] * p[0] + at.m[4 * r + 1] * p[1] + at.m[4 * r + 2] * p[2] + at.m[4 * r + 3]);
  body->colour_data.assign(body->point_data.size(), 99);
  return body;
}

/// A wall of points that floats hold exactly, before the camera.
std::vector<std::array<float, 3>> exact_wall(std::mt19937& random) {
  std::vector<std::array<float, 3>> out;
  for (int i = 0; i < 4000; ++i)
    out.push_back({static_cast<float>(static_cast<int>(random() % 2048) - 1024) / 1024,
                   static_cast<float>(static_cast<int>(random() % 2048) - 1024) / 1024,
                   2 + static_cast<float>(random() % 64) / 1024});
  return out;
}

/// A quarter of a turn about z, a shift, and a scale: exact in floats, if the scale is a power of two.
pose exact_pose(float scale) {
  return scaled({{0, -1, 0, 2, 1, 0, 0, -0.5f, 0, 0, 1, 0.25f, 0, 0, 0, 1}}, scale);
}

keyframe named(const std::string& id, std::shared_ptr<const keyframe_body> body, const pose& at) {
  keyframe out;
  out.id.value = id;
  out.world_from_camera = at;
  out.body = std::move(body);
  return out;
}

verdict offer(offline_map& map, map_input what) {
  verdict out;
  map.offer(std::move(what), [&](const verdict& v) { out = v; });
  map.finish();
  return out;
}

offline_map make_map() {
  offline_options how;
  how.keep_rays = true;
  return {map_of(32), {make_cpu_fields(map_of(32), {.threads = 0})}, how};
}

} // namespace

TEST_CASE(
  "after whatever corrections by similarities the map is that of the final poses, and of the first ones after all undone") {
  keyframes k(4);
  INFO("seed " << k.seed);
  std::vector<pose> first, last;
  for (const auto& s : k.scans) {
    first.push_back(s.at);
    last.push_back(random_similarity(k.random));
  }
  world before(map_of(64)), after(map_of(64));
  for (size_t i = 0; i < k.scans.size(); ++i) {
    before.add(k.scans[i]);
    after.add(scan{k.scans[i].rays, last[i]});
  }
  REQUIRE(before.stats().hash != after.stats().hash);
  for (const uint32_t edge : {16u, 64u}) {
    INFO("region size " << edge);
    world moved(map_of(edge));
    auto at = first;
    std::vector<size_t> order{0, 1, 2, 3};
    for (const auto& s : k.scans)
      moved.add(s);
    const auto move_all = [&](const auto& to) {
      std::shuffle(order.begin(), order.end(), k.random);
      for (const auto i : order) {
        const pose next = to(i);
        moved.add(scan{k.scans[i].rays, next});
        moved.add(scan{k.scans[i].rays, at[i]}, -1);
        at[i] = next;
      }
      (void)moved.meshes();
    };
    move_all([&](size_t) { return random_similarity(k.random); });
    move_all([&](size_t i) { return last[i]; });
    CHECK(moved.stats().hash == after.stats().hash);
    CHECK(moved.stats().blocks == after.stats().blocks);
    CHECK(weld(moved.meshes()) == weld(after.meshes()));
    move_all([&](size_t i) { return first[i]; });
    CHECK(moved.stats().hash == before.stats().hash);
    CHECK(weld(moved.meshes()) == weld(before.meshes()));
  }
}

TEST_CASE("a keyframe has the same rays whatever scale it comes with") {
  std::mt19937 random(std::random_device{}());
  const auto own = exact_wall(random);
  auto map = map_of(64);
  map.min_range_m = 2.05f; // these are in the keyframe's own scale, too
  map.max_range_m = 2.4f;
  ray_counts expected, found;
  const auto rays = make_rays(map, *seen(own, {}), {}, expected);
  CHECK(expected.out_of_range > 0);
  CHECK(expected.valid > 1000);
  for (const float scale : {1.f / 64, 0.5f, 2.f, 64.f}) {
    INFO("scale " << scale);
    CHECK(make_rays(map, *seen(own, exact_pose(scale)), exact_pose(scale), found) == rays);
    CHECK(found.valid == expected.valid);
    CHECK(found.out_of_range == expected.out_of_range);
  }
}

TEST_CASE("a point is where it was for the keyframe, up to rounding, under any rotation and scale") {
  std::mt19937 random(std::random_device{}());
  const std::array<float, 3> point{0.31f, -0.22f, 1.7f};
  for (const float scale : {0.01f, 0.7f, 1.4f, 100.f}) {
    INFO("scale " << scale);
    const auto at = scaled(random_pose(random), scale);
    ray_counts counts;
    const auto rays = make_rays(map_of(64), *seen({point}, at), at, counts);
    REQUIRE(rays.size() == 1);
    const auto& r = rays.front();
    const std::array<int32_t, 3> found{r.x, r.y, r.z};
    for (size_t i = 0; i < 3; ++i)
      CHECK(std::abs(static_cast<float>(found[i]) - point[i] / 0.05f * 256) <= 2);
  }
}

TEST_CASE("a keyframe that is moved by a similarity is as if it had come with it, and back again") {
  std::mt19937 random(std::random_device{}());
  const auto own = exact_wall(random);
  const float scale = GENERATE(0.5f, 2.f);
  const auto right = exact_pose(scale);
  auto revised = make_map(), at_once = make_map(), never = make_map();
  const auto other = random_keyframe(random);
  for (auto* map : {&revised, &at_once, &never})
    CHECK(offer(*map, named("other", other.body, other.world_from_camera)).what == outcome::accepted);
  CHECK(offer(revised, named("moved", seen(own, {}), {})).what == outcome::accepted);
  CHECK(offer(never, named("moved", seen(own, {}), {})).what == outcome::accepted);
  CHECK(offer(at_once, named("moved", seen(own, right), right)).what == outcome::accepted);
  CHECK(offer(revised, revision{{"moved"}, right}).what == outcome::accepted);
  CHECK(revised.stats().hash == at_once.stats().hash);
  CHECK(weld(revised.meshes()) == weld(at_once.meshes()));
  CHECK(offer(revised, revision{{"moved"}, {}}).what == outcome::accepted);
  CHECK(revised.stats().hash == never.stats().hash);
  CHECK(weld(revised.meshes()) == weld(never.meshes()));
}

TEST_CASE("the band around a surface is as thick in the map, whatever the keyframe's scale") {
  std::vector<std::array<float, 3>> own;
  for (int y = -20; y < 20; ++y)
    for (int x = -20; x < 20; ++x)
      own.push_back({static_cast<float>(x) * 0.01f, static_cast<float>(y) * 0.01f, 2});
  const auto map = map_of(64);
  for (const float scale : {0.5f, 1.f, 1.5f, 4.f}) {
    INFO("scale " << scale);
    ray_counts counts;
    const scan s{make_rays(map, *seen(own, {}), {}, counts), scaled({}, scale)};
    world field(map);
    plain_field plain(map);
    field.add(s);
    plain.add(s.rays, s.at);
    CHECK(field.stats().hash == plain.hash());
    int32_t low = INT32_MAX, high = INT32_MIN;
    for (const auto& voxel : plain.voxels()) {
      low = std::min(low, voxel.first[2]);
      high = std::max(high, voxel.first[2]);
    }
    const auto surface = static_cast<int32_t>(40 * scale);
    CHECK(low == surface - 2);
    CHECK(high == surface + 1);
  }
}

TEST_CASE("rays that a small scale makes too short to write are told from others") {
  std::mt19937 random(3);
  auto map = map_of(64);
  map.truncation_m = map.voxel_m; // a band that may lie between two slices
  auto s = scan_of(map, wall(random_pose(random), random, 500, false));
  uint64_t rays = 0, too_short = 0;
  for (int i = 0; i < 40; ++i) {
    s.at = scaled(random_pose(random), 0.01f);
    uint64_t of_all = 0, of_each = 0;
    (void)partition_rays(map, s.rays, s.at, of_all);
    for (const auto& one : s.rays) {
      uint64_t beyond = 0;
      (void)partition_rays(map, std::span(&one, 1), s.at, beyond);
      of_each += beyond;
    }
    CHECK(of_all == of_each);
    rays += s.rays.size();
    too_short += of_each;
  }
  CHECK(too_short > 0);
  CHECK(too_short < rays);
}
