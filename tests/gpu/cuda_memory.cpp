// Regions that leave the device for host memory and come back, and what happens where neither has room.

#include "cuda_world.hpp"

#include "gpu/bounds.hpp"
#include "gpu/cuda/device/memory_account.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

/// One region alone fits; all of them do not.
void check_moves(const device_under_test& device, const map_settings& map, keyframes& k, uint64_t least_blocks) {
  INFO(device.name << ", region size " << map.region_voxels);
  world whole(map);
  for (const auto& s : k.scans)
    whole.add(s);
  const scan moved{k.scans[1].rays, random_pose(k.random)};
  whole.add(moved);
  uint64_t most = 0;
  for (const auto& r : whole.regions)
    most = std::max(most, blocks_of(*whole.field, std::vector{r}));
  REQUIRE(most + 4 < blocks_of(*whole.field, whole.regions));
  REQUIRE(most >= least_blocks);
  two_worlds both(device, map, small_pool(most + 4, 1 << 30));
  for (const auto& s : k.scans) {
    CHECK(both.add_apart(s) == 0);
    both.check_fields();
    both.check_meshes();
  }
  auto memory = both.fields->memory();
  CHECK(memory.evictions > 0);
  CHECK(memory.page_ins > 0);
  CHECK(memory.regions_evicted > 0);
  CHECK(memory.evicted_bytes > 0);
  CHECK(both.add_apart(k.scans[1], -1) == 0);
  CHECK(both.add_apart(moved) == 0);
  both.check_meshes();
  both.check_fields();
  // Dropping regions frees what they hold in host memory.
  for (const auto& r : both.device.regions)
    drop_and_wait(*both.fields, r);
  (void)both.device.stats();
  memory = both.fields->memory();
  CHECK(memory.evicted_bytes == 0);
  CHECK(memory.regions_here == 0);
  CHECK(memory.free_blocks == memory.blocks);
}

} // namespace

TEST_CASE("regions that leave the device and come back keep every bit, and count") {
  keyframes k(in_batches() ? 3 : 5);
  INFO("seed " << k.seed);
  for (const auto& device : devices())
    check_moves(device, map_of(32), k, 1);
}

TEST_CASE("large regions, which are copied in pieces, leave and come back too") {
  unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  map_settings map = map_of(256);
  map.voxel_m = 0.025f;
  map.truncation_m = 0.1f;
  keyframes k(0);
  k.random.seed(seed);
  for (int i = 0; i < 5; ++i)
    k.scans.push_back(scan_of(map, random_keyframe(k.random)));
  for (const auto& device : devices())
    check_moves(device, map, k, 300); // more than are copied at once
}

TEST_CASE("more regions than tables: the least recently touched leave") {
  keyframes k(2);
  INFO("seed " << k.seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    auto options = small_pool(4096, 1 << 30);
    options.most_regions = 3;
    two_worlds both(device, map_of(32), options);
    for (const auto& s : k.scans)
      CHECK(both.add_apart(s) == 0);
    REQUIRE(both.device.regions.size() > 8);
    both.check_fields();
    both.check_meshes();
    CHECK(both.fields->memory().regions_here <= 3);
  }
}

TEST_CASE("of regions, the one that was not touched for longest leaves") {
  keyframes k(1);
  INFO("seed " << k.seed);
  const auto map = map_of(32);
  const auto regions = regions_of(map, k.scans[0]);
  REQUIRE(regions.size() >= 3);
  for (const auto& device : devices()) {
    INFO(device.name);
    auto options = small_pool(4096, 1 << 30);
    options.most_regions = 2;
    const auto fields = device.open(map, options);
    const auto touch = [&](size_t part) {
      auto request = request_of(k.scans[0]);
      request.only = {regions[part]};
      take_and_wait(*fields, request);
      (void)stats_and_wait(*fields, regions[part]); // moves nothing; memory() is up to date after it
      (void)stats_and_wait(*fields, regions[part]);
    };
    for (const size_t part : {0u, 1u, 0u, 2u}) // 1 leaves for 2
      touch(part);
    CHECK(fields->memory().evictions == 1);
    touch(0);
    CHECK(fields->memory().evictions == 1);
    touch(1);
    CHECK(fields->memory().evictions == 2);
  }
}

TEST_CASE("where neither device nor host has room a region is refused, and nothing is lost") {
  keyframes k(3);
  INFO("seed " << k.seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    const auto map = map_of(32);
    two_worlds both(device, map, small_pool(80, 100 * 12'288));
    size_t refused = 0;
    for (const auto& s : k.scans)
      refused += both.add_apart(s);
    CHECK(refused > 0);
    CHECK(both.fields->memory().evicted_bytes > 0);
    CHECK(both.fields->memory().evicted_bytes <= 100 * 12'288);
    both.check_fields();
  }
}

namespace {

/// What is wrong with a request.
enum class verdict_on { taken, no_room_now, too_large };

verdict_on try_to_take(async_fields& fields, const take_request& what) {
  try {
    take_and_wait(fields, what);
    return verdict_on::taken;
  } catch (const pool_too_small& e) {
    CHECK_THAT(e.what(), Catch::Contains("memory-pool"));
    return verdict_on::too_large;
  } catch (const no_room& e) {
    CHECK_THAT(e.what(), Catch::Contains("memory-pool") && Catch::Contains("host-memory"));
    return verdict_on::no_room_now;
  }
}

} // namespace

TEST_CASE("a keyframe that the whole pool cannot hold would be refused again; one beside which there is too much is not now") {
  keyframes k(1);
  INFO("seed " << k.seed);
  const auto map = map_of(32);
  world whole(map);
  whole.add(k.scans[0]);
  const auto blocks = blocks_of(*whole.field, whole.regions);
  const auto all = request_of(k.scans[0]);
  auto part = all, undone = request_of(k.scans[0], -1);
  const auto has_blocks
    = [&](region_key one) { return blocks_of(*whole.field, std::vector{one}) > 0; }; // others are only crossed
  part.only = undone.only = {*std::find_if(whole.regions.begin(), whole.regions.end(), has_blocks)};
  for (const auto& device : devices())
    for (const uint64_t host_bytes : {0, 1 << 30}) {
      INFO(device.name << ", host memory " << host_bytes);
      const auto small = device.open(map, small_pool(blocks - 1, host_bytes));
      CHECK(try_to_take(*small, all) == verdict_on::too_large);
      CHECK(try_to_take(*small, part) == verdict_on::taken);
      CHECK(try_to_take(*small, all) == verdict_on::no_room_now);
      CHECK(try_to_take(*small, undone) == verdict_on::taken);
      CHECK(try_to_take(*small, all) == verdict_on::too_large); // what is left of the part is not in the way
      for (int again = 0; again < 2; ++again)
        (void)stats_and_wait(*small, part.only[0]); // memory() is up to date after it
      CHECK(small->memory().free_blocks == blocks - 1);
      CHECK(try_to_take(*device.open(map, small_pool(blocks, host_bytes)), all) == verdict_on::taken);
    }
}

TEST_CASE("blocks that hold nothing any more are in nobody's way") {
  keyframes k(0);
  INFO("seed " << k.seed);
  const auto map = map_of(256); // a wall is in one region
  const pose to_the_right{{0, 0, 1, 1, 0, 1, 0, 4, -1, 0, 0, 4, 0, 0, 0, 1}},
    up{{1, 0, 0, 5, 0, 0, -1, 5, 0, 1, 0, 5, 0, 0, 0, 1}};
  const auto first = scan_of(map, wall(to_the_right, k.random, 3000, false)),
             second = scan_of(map, wall(up, k.random, 3000, false));
  const region_key region{0, 0, 0};
  uint64_t blocks[2] = {};
  for (const bool other : {false, true}) {
    world alone(map);
    alone.add(other ? second : first);
    blocks[other] = blocks_of(*alone.field, std::vector{region});
    REQUIRE(blocks[other] > 100);
  }
  for (const auto& device : devices()) {
    INFO(device.name);
    const auto fields = device.open(map, small_pool(std::max(blocks[0], blocks[1])));
    for (const int sign : {1, -1}) {
      auto come_and_gone = request_of(first, sign);
      come_and_gone.only = {region};
      CHECK(try_to_take(*fields, come_and_gone) == verdict_on::taken);
    }
    auto next = request_of(second);
    next.only = {region};
    CHECK(try_to_take(*fields, next) == verdict_on::taken);
  }
}

TEST_CASE("a keyframe that touches more regions than the pool has tables would be refused again") {
  keyframes k(1);
  INFO("seed " << k.seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    auto options = small_pool(4096, 1 << 30);
    options.most_regions = 3;
    const auto fields = device.open(map_of(32), options);
    auto request = request_of(k.scans[0]);
    CHECK(try_to_take(*fields, request) == verdict_on::too_large);
    request.only = regions_of(map_of(32), k.scans[0]);
    REQUIRE(request.only.size() > 3);
    request.only.resize(3);
    CHECK(try_to_take(*fields, request) == verdict_on::taken);
  }
}

TEST_CASE("a pool that holds no block is refused when the device is opened") {
  for (const auto& device : devices())
    CHECK_THROWS_AS(device.open(map_of(32), small_pool(0)), std::invalid_argument);
}

TEST_CASE("what is allocated stays within the bound, also after it failed", "[emulated]") {
  cuda::memory_account account{100};
  char a = 0, b = 0;
  CHECK(account.take(60, [&] { return &a; }) == &a);
  CHECK_THROWS_AS(account.take(41, [&] { return &b; }), std::bad_alloc);
  CHECK_THROWS_AS(account.take(UINT64_MAX, [&] { return &b; }), std::bad_alloc);
  CHECK_THROWS_AS(account.take(40, []() -> void* { throw std::bad_alloc{}; }), std::bad_alloc);
  CHECK(account.used() == 60);
  CHECK(account.take(40, [&] { return &b; }) == &b);
  account.gave_back(&a);
  account.gave_back(&a);
  CHECK(account.used() == 40);
  cuda::memory_account open_ended{0};
  CHECK(open_ended.take(size_t{1} << 60, [&] { return &a; }) == &a);
}
