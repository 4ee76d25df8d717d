// A keyframe's cost is bounded by what it writes to; and memory that a large one took is given back.

#include "gpu/bounds.hpp"
#include "gpu/cpu/block_pool.hpp"
#include "gpu/offline_map.hpp"
#include "random_map.hpp"

#include <algorithm>
#include <mutex>
#include <optional>

using namespace tessera;
using namespace tessera::test;

namespace {

/// Points so far from each other that nearly each touches a region of its own.
keyframe scattered(int points, const std::string& id = "scattered") {
  std::mt19937 random{3};
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
  const auto most = scan_of(map_of(16), scattered(200'000));
  CHECK_THROWS_WITH(partition_rays(map_of(16), most.rays, most.at, beyond), Catch::Contains("touches at least 65536 regions"));
}

TEST_CASE("an offline map sets a keyframe aside that touches too many regions, and goes on") {
  const auto threads = GENERATE(1u, 3u);
  const auto map = map_of(64);
  offline_map with(map, make_cpu_backend(map), kept_rays(threads)), without(map, make_cpu_backend(map), kept_rays(threads));
  std::mt19937 random{1};
  auto good = random_keyframe(random);
  good.id.value = "good";
  std::optional<verdict> large, again;
  with.offer(scattered(20'000), [&](const verdict& v) { large = v; });
  with.finish();
  with.offer(scattered(100), [&](const verdict& v) { again = v; });
  with.finish();
  with.retract({"scattered"}, [](const verdict&) {});
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
  offline_map capped(map, make_cpu_backend(map, 20 << 20), std::move(options));
  try {
    capped.offer(scattered(5'000), [](const verdict&) {});
    capped.finish();
    FAIL("it fitted");
  } catch (const memory_cap_reached& e) {
    CHECK_THAT(e.what(), Catch::Contains("memory-cap") && Catch::Contains("20971520 bytes (20 MiB)"));
  }
  CHECK(failures > 0);
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
