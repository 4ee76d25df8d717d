// The asynchronous interface: batches of many regions, their order, their refusals and their failures.

#include "cuda_taking.hpp"

#include <latch>

using namespace tessera;
using namespace tessera::test;

TEST_CASE("requests of many regions at once are one batch of a handful of launches, and give the same bytes") {
  keyframes k(4);
  INFO("seed " << k.seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    two_worlds both(device, map_of(16), small_pool());
    for (const auto& s : k.scans)
      both.add(s);
    REQUIRE(both.device.regions.size() > 40);
    (void)stats_and_wait(*both.fields, {0, 0, 0}); // memory() is up to date after it
    const auto before = both.fields->memory();
    held_device held(*both.fields);
    answers<field_stats> stats;
    answers<std::shared_ptr<const mesh>> meshes;
    for (const auto& r : both.device.regions) {
      both.fields->stats(r, stats.next());
      both.fields->extract(r, meshes.next());
    }
    held.go_on();
    map_hash sum;
    for (const auto& each : stats.get())
      sum += each.hash;
    CHECK(sum == both.cpu.stats().hash);
    const auto found = meshes.get(), expected = [&] {
      std::vector<std::shared_ptr<const mesh>> out;
      for (const auto& each : both.cpu.meshes())
        out.push_back(each.surface);
      return out;
    }();
    REQUIRE(found.size() == expected.size());
    for (size_t i = 0; i < found.size(); ++i)
      CHECK(*found[i] == *expected[i]);
    (void)stats_and_wait(*both.fields, {0, 0, 0});
    const auto after = both.fields->memory();
    CHECK(after.batches - before.batches <= 6); // a region there may be between the two of each region
    CHECK(after.kernels - before.kernels <= 36);
  }
}

TEST_CASE("patient extractions let keyframes go first, for so long as is said, and are one batch") {
  keyframes k(2);
  INFO("seed " << k.seed);
  for (const auto& device : devices())
    for (const bool patient : {true, false}) {
      INFO(device.name << ", patient: " << patient);
      auto options = small_pool();
      options.extract_wait = std::chrono::hours(patient ? 1 : 0);
      two_worlds both(device, map_of(16), options);
      for (const auto& s : k.scans)
        both.add(s);
      (void)stats_and_wait(*both.fields, {0, 0, 0});
      const auto before = both.fields->memory();
      held_device held(*both.fields);
      answers<std::shared_ptr<const mesh>> meshes;
      answers<take_report> taken;
      for (const auto& r : both.device.regions)
        both.fields->extract_soon(r, meshes.next());
      for (const auto& s : k.scans)
        both.fields->take(request_of(s), taken.next());
      held.go_on();
      std::vector<std::shared_ptr<const mesh>> expected;
      if (patient)
        for (const auto& s : k.scans)
          both.cpu.add(s);
      for (const auto& each : both.cpu.meshes())
        expected.push_back(each.surface);
      const auto found = meshes.get();
      taken.get();
      REQUIRE(found.size() == expected.size());
      for (size_t i = 0; i < found.size(); ++i)
        CHECK(*found[i] == *expected[i]);
      if (!patient)
        for (const auto& s : k.scans)
          both.cpu.add(s);
      both.check_fields();
      (void)stats_and_wait(*both.fields, {0, 0, 0});
      // Regions have moved out and in for nothing: one for what held it, two keyframes, one of all extractions, and counting.
      CHECK(both.fields->memory().batches - before.batches <= both.device.regions.size() + 6);
    }
}

TEST_CASE("a patient extraction whose device is closed is answered") {
  for (const auto& device : devices()) {
    INFO(device.name);
    auto options = small_pool();
    options.extract_wait = std::chrono::hours(1);
    auto fields = device.open(map_of(16), options);
    answers<std::shared_ptr<const mesh>> meshes;
    for (int i = 0; i < 50; ++i)
      fields->extract_soon({i, 0, 0}, meshes.next());
    fields.reset();
    size_t answered = 0;
    try {
      answered = meshes.get().size();
    } catch (const std::runtime_error&) {
      answered = 50;
    }
    CHECK(answered == 50);
  }
}

TEST_CASE("requests of regions pass keyframes that wait, so that they are one batch") {
  keyframes k(1);
  INFO("seed " << k.seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    auto options = small_pool();
    options.ray_lanes = 2;
    two_worlds both(device, map_of(32), options);
    both.add(k.scans[0]);
    const std::vector<region_key> regions(both.device.regions.begin(), both.device.regions.end());
    (void)stats_and_wait(*both.fields, {0, 0, 0});
    const auto before = both.fields->memory();
    held_device held(*both.fields);
    answers<std::shared_ptr<const mesh>> meshes;
    answers<take_report> taken;
    REQUIRE(regions.size() > 8);
    for (const auto& r : regions) {
      both.fields->extract(r, meshes.next());
      both.fields->take(request_of(k.scans[0]), taken.next());
    }
    held.go_on();
    taken.get();
    meshes.get();
    (void)stats_and_wait(*both.fields, {0, 0, 0});
    // A keyframe counts as one, too; some were for what held the device, and for counting.
    CHECK(both.fields->memory().batches - before.batches <= regions.size() + 5);
    for (size_t i = 0; i < regions.size(); ++i)
      both.cpu.add(k.scans[0]);
    both.check_fields();
    both.check_meshes();
  }
}

TEST_CASE("requests of one region take effect in the order they were made") {
  keyframes k(2);
  INFO("seed " << k.seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    const auto map = map_of(256);
    const auto fields = device.open(map, small_pool());
    region_key region;
    std::vector<region_image> images;
    std::vector<map_hash> hashes;
    for (int i = 0; i < 2; ++i) {
      region = fullest_of(*fields, take_and_wait(*fields, request_of(k.scans[0])).regions);
      images.push_back(export_and_wait(*fields, region));
      hashes.push_back(stats_and_wait(*fields, region).hash);
    }
    CHECK(hashes[0] != hashes[1]);

    held_device held(*fields);
    std::vector<map_hash> seen;
    std::latch done(6);
    const auto look = [&] {
      fields->stats(region, [&](const field_stats& s, const std::exception_ptr&) {
        seen.push_back(s.hash);
        done.count_down();
      });
    };
    const auto ignore = [](const std::exception_ptr&) {};
    look();
    fields->import_region(region, images[0], ignore);
    look();
    fields->drop(region, ignore);
    look();
    fields->import_region(region, images[1], ignore);
    look();
    fields->clear(ignore);
    look();
    fields->import_region(region, images[0], ignore);
    look();
    held.go_on();
    done.wait();
    CHECK(seen == std::vector<map_hash>{hashes[1], hashes[0], {}, hashes[1], {}, hashes[0]});
  }
}

TEST_CASE("a batch that does not fit as a whole is done in parts") {
  keyframes k(3);
  INFO("seed " << k.seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    world whole(map_of(32));
    for (const auto& s : k.scans)
      whole.add(s);
    two_worlds both(device, map_of(32), little_room(*whole.field, whole.regions));
    for (const auto& s : k.scans)
      CHECK(both.add_apart(s) == 0);
    held_device held(*both.fields);
    answers<std::shared_ptr<const mesh>> meshes;
    for (const auto& r : both.device.regions)
      both.fields->extract(r, meshes.next());
    held.go_on();
    const auto found = meshes.get();
    const auto expected = both.cpu.meshes();
    REQUIRE(found.size() == expected.size());
    for (size_t i = 0; i < found.size(); ++i)
      CHECK(*found[i] == *expected[i].surface);
  }
}

TEST_CASE("a request that makes no sense is refused, and the device goes on") {
  keyframes k(1);
  for (const auto& device : devices()) {
    INFO(device.name);
    two_worlds both(device, map_of(64), small_pool());
    const auto refused = [&](auto change) {
      auto request = request_of(k.scans[0]);
      change(request);
      CHECK_THROWS_AS(take_and_wait(*both.fields, request), std::invalid_argument);
    };
    class other_rays final : public peer_rays {
      [[nodiscard]] size_t size() const override { return 1; }
    };
    refused([](take_request& r) { r.sign = 0; });
    refused([](take_request& r) { r.sign = 2; });
    refused([](take_request& r) { r.share = {2, 2, 0}; });
    refused([](take_request& r) { r.share = {0, 0, 0}; });
    refused([](take_request& r) { r.share = {0, most_shares + 1, 0}; });
    refused([](take_request& r) { r.share = {1, 3, 2}; });
    refused([](take_request& r) { r.rays.rays = nullptr; });
    refused([](take_request& r) { r.rays = {}, r.from_peer = std::make_shared<other_rays>(); });
    both.add(k.scans[0]);
    both.check_fields();
    CHECK(take_and_wait(*both.fields, {}).rays == 0); // of a keyframe without rays
    both.check_fields();
  }
}

TEST_CASE("a device that fails says so to everyone who asks from then on, and closes", "[emulated]") {
  keyframes k(1);
  emulated_device::options how;
  const auto fields = open_emulated(map_of(64), small_pool(), how);
  const auto region = take_and_wait(*fields, request_of(k.scans[0])).regions.front();
  *how.broken = true;
  CHECK_THROWS_WITH(take_and_wait(*fields, request_of(k.scans[0])), "the emulated device is broken");
  *how.broken = false; // the field is lost all the same
  CHECK_THROWS_AS(stats_and_wait(*fields, region), std::runtime_error);
  CHECK_THROWS_AS(extract_and_wait(*fields, region), std::runtime_error);
  CHECK_THROWS_AS(export_and_wait(*fields, region), std::runtime_error);
  CHECK_THROWS_AS(import_and_wait(*fields, region, {}), std::runtime_error);
  CHECK_THROWS_AS(clear_and_wait(*fields), std::runtime_error);
}

TEST_CASE("a device that is broken on purpose fails in all that it does, and closes", "[emulated]") {
  keyframes k(1);
  auto options = small_pool();
  options.ray_lanes = 2;
  const auto fields = open_emulated(map_of(64), options);
  const auto frame = random_keyframe(k.random);
  ray_counts counts;
  const auto region = take_and_wait(*fields, request_of(k.scans[0])).regions.front();
  CHECK(!rays_of(*fields, frame.body, frame.world_from_camera, counts).empty());
  const auto how = GENERATE(breakage::trap, breakage::refused_launch);
  fields->break_down(how);
  for (int again = 0; again < 3; ++again) {
    for (int lane = 0; lane < 4; ++lane)
      CHECK_THROWS_AS(rays_of(*fields, frame.body, frame.world_from_camera, counts), std::runtime_error);
    CHECK_THROWS_AS(take_and_wait(*fields, request_of(k.scans[0])), std::runtime_error);
    CHECK_THROWS_AS(take(*fields, frame, {.mesh = true}).get(), std::runtime_error);
    CHECK_THROWS_AS(extract_and_wait(*fields, region), std::runtime_error);
    CHECK_THROWS_AS(stats_and_wait(*fields, region), std::runtime_error);
    CHECK_THROWS_AS(drop_and_wait(*fields, region), std::runtime_error);
    CHECK_THROWS_AS(fields->break_down(how), std::runtime_error);
  }
  CHECK(fields->memory().blocks == 4096);
}

TEST_CASE("requests that wait while a device is closed are answered") {
  for (const auto& device : devices()) {
    INFO(device.name);
    auto fields = device.open(map_of(64), small_pool());
    std::atomic<int> answered{0};
    for (int i = 0; i < 50; ++i) {
      fields->stats({i, 0, 0}, [&](const field_stats&, const std::exception_ptr&) { ++answered; });
      fields->take({}, [&](const take_report&, const std::exception_ptr&) { ++answered; });
      fields->export_region({i, 0, 0}, [&](const region_image&, const std::exception_ptr&) { ++answered; });
      fields->clear([&](const std::exception_ptr&) { ++answered; });
      fields->rays(std::make_shared<owned_keyframe_body>(), {},
                   [&](const std::vector<ray>&, const ray_counts&, const std::exception_ptr&) { ++answered; });
    }
    fields.reset();
    CHECK(answered == 250);
  }
}

TEST_CASE("in steady state a device allocates nothing", "[emulated]") {
  keyframes k(3);
  INFO("seed " << k.seed);
  const emulated_device::options how;
  const device_under_test counting{
    "emulated, counting", [&](const map_settings& map, const cuda::field_options& o) { return open_emulated(map, o, how); }};
  two_worlds both(counting, map_of(32), small_pool(120, 1 << 28)); // blocks move all the time
  both.at_once = false;
  ray_counts counts;
  const auto frame = random_keyframe(k.random);
  int after_first = 0;
  for (int round = 0; round < 4; ++round) {
    (void)rays_of(*both.fields, frame.body, frame.world_from_camera, counts);
    for (const int sign : {1, -1}) {
      for (const auto& s : k.scans)
        CHECK(both.add_apart(s, sign) == 0);
      both.check_meshes();
    }
    both.check_fields();
    if (round == 0)
      after_first = *how.allocations;
  }
  CHECK(both.fields->memory().evictions > 10);
  CHECK(*how.allocations == after_first);
}

TEST_CASE("many callers at once, each with keyframes of its own, get what one would") {
  keyframes k(8);
  INFO("seed " << k.seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    const auto map = map_of(32);
    for (const auto& s : k.scans)
      REQUIRE(!regions_of(map, s).empty());
    world whole(map);
    for (const auto& s : k.scans)
      whole.add(s);
    uint64_t most = 0;
    for (const auto& s : k.scans)
      most = std::max(most, blocks_of(*whole.field, regions_of(map, s)));
    auto options = small_pool(most + 4, 1 << 30);
    options.ray_lanes = 2;
    two_worlds both(device, map, options);
    std::vector<std::jthread> callers;
    for (size_t t = 0; t < 4; ++t)
      callers.emplace_back([&, t] {
        for (size_t i = t; i < k.scans.size(); i += 4)
          for (const region_key region : take_and_wait(*both.fields, request_of(k.scans[i])).regions)
            (void)extract_and_wait(*both.fields, region);
      });
    callers.clear();
    for (const auto& s : k.scans)
      both.cpu.add(s);
    both.device.regions = both.cpu.regions;
    both.check_fields();
    both.check_meshes();
  }
}

TEST_CASE("the host touches no memory of the device", "[emulated]") {
  keyframes k(2);
  const device_under_test guarded{"emulated, guarded", [](const map_settings& map, const cuda::field_options& o) {
                                    return open_emulated(map, o, {.threads = 2, .guarded = true});
                                  }};
  two_worlds both(guarded, map_of(32), small_pool(120, 1 << 28));
  ray_counts counts;
  const auto frame = random_keyframe(k.random);
  CHECK(!rays_of(*both.fields, frame.body, frame.world_from_camera, counts).empty());
  for (const auto& s : k.scans)
    CHECK(both.add_apart(s) == 0);
  both.check_meshes();
  both.check_fields();
  CHECK(both.fields->memory().page_ins > 0);
  const auto region = *both.device.regions.begin();
  import_and_wait(*both.fields, region, export_and_wait(*both.fields, region));
  both.check_fields();
  clear_and_wait(*both.fields);
  CHECK(both.device_stats().hash == map_hash{});
}
