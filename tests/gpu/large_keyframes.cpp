// A keyframe's cost is bounded by what it writes to; and memory that a large one took is given back.

#include "gpu/bounds.hpp"
#include "gpu/cpu/block_pool.hpp"
#include "gpu/map/offline_map.hpp"
#include "random_map.hpp"

#include <algorithm>
#include <mutex>
#include <optional>
#include <set>

using namespace tessera;
using namespace tessera::test;

namespace {

/// Points so far from each other that nearly each touches a region of its own.
keyframe scattered(int points, const std::string& id = "scattered", unsigned seed = 3) {
  std::mt19937 random{seed};
  std::uniform_real_distribution<float> far(-55.f, 55.f);
  auto body = std::make_shared<owned_keyframe_body>();
  for (int i = 0; i < 3 * points; ++i)
    body->point_data.push_back(far(random));
  body->colour_data.resize(body->point_data.size());
  keyframe out;
  out.id.value = id;
  out.body = std::move(body);
  return out;
}

offline_options kept_rays(uint32_t threads) {
  offline_options out;
  out.threads = threads;
  out.keep_rays = true;
  return out;
}

} // namespace

TEST_CASE("a keyframe that touches more regions than one may is told how many there are, and the bound") {
  const auto map = map_of(64);
  uint64_t beyond = 0;
  const auto some = scan_of(map, scattered(5'000));
  const auto parts = partition_rays(map, some.rays, some.at, beyond);
  CHECK(parts.parts.size() > 4'000);
  const auto many = scan_of(map, scattered(20'000));
  CHECK_THROWS_WITH(partition_rays(map, many.rays, many.at, beyond),
                    Catch::Contains(" regions of 64 voxels an edge (3.2 m), at most 8192 can be")
                      && Catch::Contains("voxel size of 0.05 m") && !Catch::Contains("at least"));
  const auto most = scan_of(map_of(16), scattered(32'000));
  CHECK_THROWS_WITH(partition_rays(map_of(16), most.rays, most.at, beyond), Catch::Contains("touches at least 6553"));
}

TEST_CASE("a keyframe of very many scattered points is refused before all of its rays are made") {
  auto map = map_of(64);
  auto frame = scattered(300'000);
  std::mt19937 random{5};
  frame.world_from_camera = random_pose(random);
  ray_counts counts;
  CHECK_THROWS_WITH(make_rays(map, *frame.body, frame.world_from_camera, counts),
                    Catch::Contains("touches at least 8193 regions of 64 voxels an edge (3.2 m), at most 8192 can be"));
  CHECK(counts.valid < 100'000);
  // As many blocks in fewer regions are a keyframe like any other.
  map.voxel_m = 0.2f;
  const auto rays = make_rays(map, *frame.body, frame.world_from_camera, counts);
  uint64_t beyond = 0;
  CHECK(rays.size() > 200'000);
  CHECK(partition_rays(map, rays, frame.world_from_camera, beyond).parts.size() < 2'000);
}

TEST_CASE("what is refused before all rays are made would be refused afterwards, too") {
  // Around the bound: cubes of 64 m +- in regions of 3.2 m, from poses of any rotation.
  const float scale = GENERATE(1.f, 0.6f, 2.f);
  INFO("scale " << scale);
  const auto map = map_of(64);
  std::mt19937 random{11};
  int early = 0, late = 0, taken = 0;
  for (float edge = 28; edge < 36; edge += 0.5f) {
    const auto at = scaled(random_pose(random), scale);
    std::uniform_real_distribution<float> within(-edge, edge);
    owned_keyframe_body body;
    for (int i = 0; i < 3 * 60'000; ++i)
      body.point_data.push_back(within(random));
    body.colour_data.resize(body.point_data.size());
    // The same points a few at a time: the tables stay small, so that nothing is refused early.
    std::set<region_key> regions;
    for (size_t first = 0; first < body.point_data.size(); first += 3 * 20'000) {
      owned_keyframe_body some;
      some.point_data.assign(body.point_data.begin() + static_cast<std::ptrdiff_t>(first),
                             body.point_data.begin() + static_cast<std::ptrdiff_t>(first + 3 * 20'000));
      some.colour_data.resize(some.point_data.size());
      ray_counts counts;
      uint64_t beyond = 0;
      try {
        for (const auto& part : partition_rays(map, make_rays(map, some, at, counts), at, beyond).parts)
          regions.insert(part.region);
      } catch (const keyframe_too_large&) {
        regions.clear();
        break;
      }
    }
    const auto too_many = regions.empty() || regions.size() > most_keyframe_regions;
    bool refused = false;
    ray_counts counts;
    try {
      make_rays(map, body, at, counts);
    } catch (const keyframe_too_large&) {
      refused = true;
    }
    ++(refused ? early : too_many ? late : taken);
    CHECK((!refused || too_many));
  }
  CHECK(early > 0);
  CHECK(taken > 0);
  CAPTURE(early, late, taken);
}

TEST_CASE("a keyframe that its scale makes too large is refused before all of its rays are made") {
  auto map = map_of(64);
  map.max_range_m = 1'000;
  auto frame = scattered(400'000);
  auto body = std::make_shared<owned_keyframe_body>(dynamic_cast<const owned_keyframe_body&>(*frame.body));
  for (auto& v : body->point_data)
    v *= 100;
  std::mt19937 random{5};
  frame.world_from_camera = scaled(random_pose(random), 100);
  ray_counts counts;
  CHECK_THROWS_WITH(make_rays(map, *body, frame.world_from_camera, counts),
                    Catch::Contains("touches at least 8193 regions of 64 voxels an edge (3.2 m), at most 8192 can be"));
  CHECK(counts.valid < 350'000);
}

TEST_CASE("a keyframe that would be too large under its new pose stays where it was") {
  const auto map = map_of(64);
  offline_map moved(map, {make_cpu_fields(map, {.threads = 0})}, kept_rays(1)),
    calm(map, {make_cpu_fields(map, {.threads = 0})}, kept_rays(1));
  auto frame = scattered(20'000);
  auto body = std::make_shared<owned_keyframe_body>(dynamic_cast<const owned_keyframe_body&>(*frame.body));
  for (auto& v : body->point_data)
    v /= 100; // nearly each voxel-sized cell of a cube of a metre has one
  frame.body = body;
  for (auto* one : {&moved, &calm}) {
    one->offer(frame, [](const verdict& v) { CHECK(v.what == outcome::accepted); });
    one->finish();
  }
  std::optional<verdict> told;
  moved.offer(revision{frame.id, scaled({}, 100)}, [&](const verdict& v) { told = v; });
  REQUIRE(told.has_value());
  CHECK(told->what == outcome::refused);
  CHECK_THAT(told->reason, Catch::StartsWith("under the new pose the keyframe touches") && Catch::Contains("at most 8192"));
  CHECK(moved.stats().hash == calm.stats().hash);
  for (const float scale : {20.f, 1.f}) {
    moved.offer(revision{frame.id, scaled({}, scale)}, [&](const verdict& v) { CHECK(v.what == outcome::accepted); });
    CHECK((moved.stats().hash == calm.stats().hash) == (scale == 1));
  }
}

TEST_CASE("an offline map sets a keyframe aside that touches too many regions, and goes on") {
  const auto threads = GENERATE(1u, 3u);
  const auto map = map_of(64);
  offline_map with(map, {make_cpu_fields(map, {.threads = threads})}, kept_rays(threads)),
    without(map, {make_cpu_fields(map, {.threads = threads})}, kept_rays(threads));
  std::mt19937 random{1};
  auto good = random_keyframe(random);
  good.id.value = "good";
  std::optional<verdict> large, again;
  const auto points = GENERATE(20'000, 200'000); // refused when its rays are sorted, and before they are made
  with.offer(scattered(points), [&](const verdict& v) { large = v; });
  with.finish();
  with.offer(scattered(100), [&](const verdict& v) { again = v; });
  with.finish();
  with.offer(retraction{{"scattered"}}, [](const verdict&) {});
  for (auto* one : {&with, &without})
    one->offer(good, [](const verdict&) {});
  with.finish();
  without.finish();
  REQUIRE(large.has_value());
  CHECK(large->what == outcome::refused);
  CHECK_THAT(large->reason, Catch::Contains("at most 8192"));
  CHECK(again->what == outcome::accepted); // the id was not taken
  CHECK(with.counts().set_aside == 1);
  CHECK(with.stats().hash == without.stats().hash);
}

TEST_CASE("an offline map whose memory is at its cap says which setting that is, its value, and that no more is of use") {
  const auto threads = GENERATE(1u, 3u);
  const auto map = map_of(64);
  int failures = 0;
  auto options = kept_rays(threads);
  std::mutex mutex;
  options.on_failure = [&] {
    const std::lock_guard lock(mutex);
    ++failures;
  };
  offline_map capped(map, {make_cpu_fields(map, {.threads = threads, .cap_bytes = 20 << 20})}, std::move(options));
  try {
    for (unsigned i = 0; i < 40; ++i) { // each has room, and all of them have not
      capped.offer(scattered(100, std::to_string(i), i), [](const verdict&) {});
      capped.finish();
    }
    FAIL("it fitted");
  } catch (const memory_cap_reached& e) {
    CHECK_THAT(e.what(), Catch::Contains("memory-cap") && Catch::Contains("20971520 bytes (20 MiB)"));
  }
  CHECK(failures > 0);
  offline_map small(map, {make_cpu_fields(map, {.threads = threads, .cap_bytes = 20 << 20})}, kept_rays(threads));
  small.offer(scattered(5'000), [](const verdict&) {});
  CHECK_THROWS_AS(small.finish(), pool_too_small);
}

TEST_CASE("pages of blocks go back to the system when no block in them is used") {
  cpu::block_pool pool(0);
  std::mt19937 random{7};
  std::vector<cpu::block*> held;
  const auto take = [&](size_t count) {
    for (size_t i = 0; i < count; ++i) {
      held.push_back(pool.take());
      REQUIRE(held.back()->w01[511].w1 == 0);
      held.back()->w01[511].w1 = held.back()->w2[0] = ~uint64_t{0};
    }
  };
  const auto give = [&](size_t count) {
    for (size_t i = 0; i < count; ++i) {
      pool.give(held.back());
      held.pop_back();
    }
  };
  take(3'000);
  const auto full = pool.mapped_bytes();
  CHECK(full >= 3'000 * sizeof(cpu::block));
  CHECK(full < 3'000 * sizeof(cpu::block) * 11 / 10);
  for (int round = 0; round < 5; ++round) {
    std::shuffle(held.begin(), held.end(), random);
    give(2'000);
    take(2'000);
    CHECK(pool.mapped_bytes() == full); // what is free is used again first
  }
  std::shuffle(held.begin(), held.end(), random);
  give(3'000);
  CHECK(pool.mapped_bytes() <= 2 << 20);
  take(10);
  CHECK(pool.mapped_bytes() <= 2 << 20);
  give(10);
}
