// Devices that share a map: each has its regions, one makes a keyframe's rays.

#include "cuda_taking.hpp"

#include "gpu/map/offline_map.hpp"

#include <atomic>
#include <set>

using namespace tessera;
using namespace tessera::test;

TEST_CASE("devices that share a map hold it together: the hash and the meshes are those of one") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  for (const auto& device : devices())
    for (const uint32_t threads : {1u, 2u}) {
      INFO(device.name << ", threads " << threads);
      std::mt19937 random(seed);
      const auto map = map_of(in_batches() ? 64 : 32);
      const auto frames = some_keyframes(random, 5);
      const auto make = [&](std::vector<std::shared_ptr<async_fields>> fields) {
        return std::make_unique<offline_map>(map, std::move(fields),
                                             offline_options{.threads = threads,
                                                             .extract_each = true,
                                                             .keep_rays = true,
                                                             .ids_repeat = false,
                                                             .check = {},
                                                             .check_pose = {},
                                                             .why_empty = {},
                                                             .on_failure = {}});
      };
      const auto open = [&] { return device.open(map, small_pool()); };
      const auto cpu = make({make_cpu_fields(map, {.threads = 0})});
      const auto one = make({open()}), three = make({open(), open(), open()});
      const auto ignore = [](const verdict&) {};
      int number = 0;
      for (auto frame : frames) {
        frame.id.value = std::to_string(number++);
        for (offline_map* each : {cpu.get(), one.get(), three.get()})
          each->offer(frame, ignore);
      }
      for (offline_map* each : {cpu.get(), one.get(), three.get()}) {
        each->offer(retraction{{"1"}}, ignore);
        each->offer(revision{{"2"}, frames[3].world_from_camera}, ignore);
        each->finish();
      }
      CHECK(cpu->stats().blocks > 0);
      for (offline_map* each : {one.get(), three.get()}) {
        CHECK(each->stats().hash == cpu->stats().hash);
        CHECK(each->regions() == cpu->regions());
        CHECK(each->counts().rays == cpu->counts().rays);
        const auto expected = cpu->meshes(), found = each->meshes();
        REQUIRE(found.size() == expected.size());
        for (size_t i = 0; i < found.size(); ++i) {
          CHECK(found[i].region == expected[i].region);
          CHECK(*found[i].surface == *expected[i].surface);
        }
      }
    }
}

TEST_CASE("of devices that share a map one makes the rays, and for each peer those that touch its regions") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  constexpr uint32_t count = 4;
  for (const auto& device : devices())
    for (const uint64_t lost : {0, 1 << 1, 1 << 0 | 1 << 3}) {
      INFO(device.name << ", lost " << lost);
      std::mt19937 random(seed);
      const auto map = map_of(32);
      world whole(map);
      auto options = small_pool();
      options.ray_lanes = 2;
      std::vector<std::shared_ptr<async_fields>> parts;
      std::vector<uint32_t> left;
      for (uint32_t i = 0; i < count; ++i) {
        parts.push_back((lost >> i & 1) == 0 ? device.open(map, options) : nullptr);
        if (parts.back())
          left.push_back(i);
      }
      size_t turn = 0;
      for (const auto& frame : some_keyframes(random, 5)) {
        const uint32_t first = left[turn++ % left.size()];
        const auto s = scan_of(map, frame);
        whole.add(s);
        rays_for_peers theirs;
        take_request how{.share = {first, count, lost}, .keep_rays = true, .mesh = true, .times = true};
        how.to_peers = [&](auto rays) { theirs = std::move(rays); };
        if (turn == 2) { // from rays that were stored
          how.rays = {std::make_shared<const std::vector<ray>>(s.rays)};
          how.world_from_camera = frame.world_from_camera;
        }
        const auto made = turn == 2 ? take_and_wait(*parts[first], how) : take(*parts[first], frame, how).get();
        CHECK(made.rays == s.rays.size());
        CHECK(in_order(made.kept) == in_order(s.rays));
        uint64_t beyond = 0;
        const auto cut = partition_rays(map, s.rays, frame.world_from_camera, beyond);
        CHECK(made.beyond == beyond);
        REQUIRE(theirs.size() == count); // before the answer
        for (uint32_t share = 0; share < count; ++share) {
          INFO("share " << share << ", made by " << first);
          std::vector<region_key> wanted;
          std::set<std::tuple<int32_t, int32_t, int32_t>> touching; // rays: a cell has one
          for (const auto& part : cut.parts)
            if (owner_of(part.region, {0, count, lost}) == share) {
              wanted.push_back(part.region);
              for (uint32_t i = part.first; i < part.first + part.count; ++i) {
                const ray& r = (*cut.batch.rays)[i];
                touching.insert({r.x, r.y, r.z});
              }
            }
          if (share == first) {
            CHECK(theirs[share] == nullptr);
            CHECK(made.regions == wanted);
          } else if (!parts[share]) {
            CHECK(theirs[share] == nullptr);
            CHECK(wanted.empty());
          } else {
            REQUIRE(theirs[share] != nullptr);
            CHECK(theirs[share]->size() == touching.size());
            const auto report = take_and_wait(*parts[share], {.from_peer = std::move(theirs[share]),
                                                              .world_from_camera = frame.world_from_camera,
                                                              .share = {share, count, lost},
                                                              .mesh = true,
                                                              .times = true});
            CHECK(report.rays == 0); // the other one knows
            CHECK(report.regions == wanted);
          }
        }
      }
      map_hash sum;
      uint64_t blocks = 0;
      for (const auto& region : whole.regions)
        for (const uint32_t share : left) {
          const bool owns = owner_of(region, {0, count, lost}) == share;
          const auto found = stats_and_wait(*parts[share], region);
          CHECK((found.blocks == 0 || owns));
          sum += found.hash;
          blocks += found.blocks;
          if (owns)
            CHECK(*extract_and_wait(*parts[share], region) == *extract_and_wait(*whole.field, region));
        }
      CHECK(sum == whole.stats().hash);
      CHECK(blocks == whole.stats().blocks);
    }
}

TEST_CASE("when a device is lost the others take its regions over from stored rays, and keep their own") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  constexpr uint32_t count = 3;
  for (const auto& device : devices()) {
    INFO(device.name);
    std::mt19937 random(seed);
    const auto map = map_of(16);
    world whole(map);
    std::vector<std::shared_ptr<async_fields>> parts;
    for (uint32_t i = 0; i < count; ++i)
      parts.push_back(device.open(map, small_pool()));
    std::vector<scan> scans;
    for (const auto& frame : some_keyframes(random, 4)) {
      scans.push_back(scan_of(map, frame));
      whole.add(scans.back());
      for (uint32_t i = 0; i < count; ++i)
        take(*parts[i], frame, {.share = {i, count, 0}}).get();
    }
    uint64_t lost = 0;
    for (const uint32_t gone : {1u, 2u}) { // one after the other
      std::vector<region_key> orphans;
      for (const auto& region : whole.regions)
        if (owner_of(region, {0, count, lost}) == gone)
          orphans.push_back(region);
      parts[gone] = nullptr;
      lost |= uint64_t{1} << gone;
      REQUIRE(!orphans.empty());
      map_hash sum;
      for (uint32_t i = 0; i < count; ++i) {
        if (!parts[i])
          continue;
        for (const auto& s : scans) {
          auto refill = request_of(s);
          refill.only = orphans;
          refill.share = {i, count, lost};
          take_and_wait(*parts[i], refill);
        }
        for (const auto& region : whole.regions) {
          const auto found = stats_and_wait(*parts[i], region);
          CHECK((found.blocks == 0 || owner_of(region, {0, count, lost}) == i));
          sum += found.hash;
        }
      }
      CHECK(sum == whole.stats().hash);
    }
  }
}

TEST_CASE("a keyframe that the device which makes its rays cannot take is refused as a whole, and the map goes on") {
  std::mt19937 random(17);
  for (const auto& device : devices()) {
    INFO(device.name);
    const auto map = map_of(32);
    offline_options options;
    options.threads = 2;
    offline_map shared(map, {device.open(map, small_pool()), device.open(map, small_pool())}, options),
      cpu(map, {make_cpu_fields(map, {.threads = 0})}, {});
    std::atomic<int> torn = 0;
    int number = 0;
    for (auto frame : some_keyframes(random, 4)) {
      frame.id.value = std::to_string(number++);
      if (number != 2)
        cpu.offer(frame, [](const verdict&) {});
      else
        frame.body = std::make_shared<torn_body>(frame.body);
      shared.offer(frame, [&](const verdict& v) { torn += v.what == outcome::not_now; });
    }
    shared.finish();
    cpu.finish();
    CHECK(torn == 1);
    CHECK(shared.counts().set_aside == 0);
    CHECK(shared.counts().keyframes == 3);
    CHECK(shared.stats().hash == cpu.stats().hash);
  }
}
