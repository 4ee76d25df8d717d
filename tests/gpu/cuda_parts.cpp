// Parts of a map: rays that were stored, some of the regions alone, regions as values, and what is left when all is forgotten.

#include "cuda_taking.hpp"

#include <set>

using namespace tessera;
using namespace tessera::test;

namespace {

const auto ignore = [](const std::exception_ptr&) {};

} // namespace

TEST_CASE("a keyframe taken from its rays is the same as from its points, in any order of the rays") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    std::mt19937 random(seed);
    two_worlds both(device, map_of(32), small_pool());
    const auto from_points = device.open(map_of(32), small_pool());
    for (const auto& frame : some_keyframes(random, 3)) {
      const auto expected = take(*from_points, frame, {.keep_rays = true, .mesh = true}).get();
      auto rays = expected.kept;
      std::shuffle(rays.begin(), rays.end(), random);
      auto request = request_of(scan{rays, frame.world_from_camera});
      request.keep_rays = request.mesh = request.times = true;
      const auto found = take_and_wait(*both.fields, request);
      CHECK(found.rays == expected.rays);
      CHECK(found.beyond == expected.beyond);
      CHECK(in_order(found.kept) == in_order(expected.kept));
      CHECK(found.regions == expected.regions);
      CHECK(found.vertices == expected.vertices);
      CHECK(found.triangles == expected.triangles);
      CHECK(found.counts.valid == 0);
      CHECK(found.bytes_up == rays.size() * sizeof(ray));
      CHECK(found.upload_ms >= 0);
      add_to_cpu(both, frame);
    }
    both.check_fields();
    both.check_meshes();
  }
}

TEST_CASE("adding and taking away, many under way at once, come to the same in any order") {
  // With the second seed, a keyframe finds room in the end that others made which wait before it.
  const unsigned seed = GENERATE(std::random_device{}(), 2073751509u);
  INFO("seed " << seed);
  for (const auto& device : devices())
    for (const bool tight : {false, true}) {
      INFO(device.name << (tight ? ", little room" : ", room for all"));
      std::mt19937 random(seed);
      const auto map = map_of(32);
      std::vector<scan> scans;
      world whole(map);
      for (const auto& frame : some_keyframes(random, 6)) {
        scans.push_back(scan_of(map, frame));
        whole.add(scans.back());
      }
      uint64_t most = 0;
      for (const auto& s : scans)
        most = std::max(most, blocks_of(*whole.field, regions_of(map, s)));
      auto options = tight ? small_pool(most + 4, 1 << 30) : small_pool();
      options.ray_lanes = 3;
      two_worlds both(device, map, options);
      // Every keyframe is added once, and one of two is also taken away: before it, or after.
      std::vector<take_request> requests;
      for (size_t i = 0; i < scans.size(); ++i) {
        requests.push_back(request_of(scans[i]));
        if (i % 2 == 0)
          requests.push_back(request_of(scans[i], -1));
        else
          both.cpu.add(scans[i]);
      }
      std::shuffle(requests.begin(), requests.end(), random);
      answers<take_report> reports;
      for (auto& request : requests) {
        request.mesh = random() % 2 == 0;
        both.fields->take(request, reports.next());
      }
      reports.get();
      both.cpu.regions = both.device.regions = whole.regions;
      both.check_fields();
      both.check_meshes();
    }
}

TEST_CASE("a region that was dropped is filled again from the rays of all keyframes, and no other changes") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    std::mt19937 random(seed);
    auto options = small_pool();
    options.ray_lanes = 2;
    two_worlds both(device, map_of(16), options);
    std::vector<scan> scans;
    for (const auto& frame : some_keyframes(random, 4)) {
      scans.push_back(scan_of(both.cpu.map, frame));
      both.add(scans.back());
    }
    std::vector<region_key> lost;
    for (const auto& region : both.device.regions)
      if (random() % 3 == 0)
        lost.push_back(region);
    REQUIRE(lost.size() > 3);
    for (const auto& region : lost)
      drop_and_wait(*both.fields, region);
    CHECK(both.device_stats().hash != both.cpu.stats().hash);
    lost.push_back({100, 0, 0}); // that no ray touches
    std::sort(lost.begin(), lost.end());
    answers<take_report> reports;
    for (const auto& s : scans) {
      auto request = request_of(s);
      request.only = lost;
      request.mesh = true;
      both.fields->take(request, reports.next());
    }
    const auto all = reports.get();
    for (size_t i = 0; i < scans.size(); ++i) {
      const auto touched = regions_of(both.cpu.map, scans[i]);
      std::vector<region_key> expected;
      std::set_intersection(touched.begin(), touched.end(), lost.begin(), lost.end(), std::back_inserter(expected));
      CHECK(all[i].regions == expected);
      CHECK(all[i].rays == scans[i].rays.size());
    }
    both.check_fields();
    both.check_meshes();
  }
}

TEST_CASE("a keyframe's points written to some regions alone, and taken away from some others") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    std::mt19937 random(seed);
    two_worlds both(device, map_of(16), small_pool());
    const auto frame = random_keyframe(random);
    const auto s = scan_of(both.cpu.map, frame);
    std::vector<region_key> some, others;
    for (const auto& region : regions_of(both.cpu.map, s))
      (random() % 2 == 0 ? some : others).push_back(region);
    REQUIRE(!some.empty());
    REQUIRE(!others.empty());
    CHECK(take(*both.fields, frame, {.only = some, .mesh = true}).get().regions == some);
    CHECK(take(*both.fields, frame, {.sign = -1, .only = others}).get().regions == others);
    CHECK(blocks_of(*both.fields, some) > 0);
    CHECK(take(*both.fields, frame, {.sign = -1, .only = some}).get().regions == some);
    CHECK(take(*both.fields, frame, {.only = others}).get().regions == others);
    both.device.regions.insert(some.begin(), some.end());
    both.device.regions.insert(others.begin(), others.end());
    CHECK(both.device_stats().hash == map_hash{});
  }
}

TEST_CASE("recorded work is right for keyframes that are added, taken away and written to some regions alone", "[emulated]") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  const emulated_device::options how;
  const device_under_test counting{
    "emulated, counting", [&](const map_settings& map, const cuda::field_options& o) { return open_emulated(map, o, how); }};
  two_worlds both(counting, map_of(16), small_pool());
  const auto frames = some_keyframes(random, 3);
  int after_second = 0;
  for (int round = 0; round < 4; ++round) {
    for (const auto& frame : frames) {
      const auto s = scan_of(both.cpu.map, frame);
      const auto regions = regions_of(both.cpu.map, s);
      const std::vector<region_key> half(regions.begin(), regions.begin() + static_cast<int64_t>(regions.size() / 2));
      for (auto request : {request_of(s), request_of(s), request_of(s, -1)}) { // each is a group of its own, and recorded
        request.mesh = true;
        take_and_wait(*both.fields, request);
        take_and_wait(*both.cpu.field, request);
        request.only = half;
        request.share = {1, 2, 1}; // all regions are this one's
        take_and_wait(*both.fields, request);
        request.mesh = false;
        request.share = {};
        take_and_wait(*both.cpu.field, request);
      }
      both.cpu.regions.insert(regions.begin(), regions.end());
    }
    both.device.regions = both.cpu.regions;
    both.check_fields();
    both.check_meshes();
    if (round == 1) // the meshes that were asked for after the first took memory
      after_second = *how.recordings;
  }
  CHECK(*how.recordings == after_second);
}

TEST_CASE("regions as values: from one device to another, from host memory too, with the same hash and meshes") {
  keyframes k(4);
  INFO("seed " << k.seed);
  for (const auto& device : devices())
    for (const bool tight : {false, true}) {
      INFO(device.name << (tight ? ", little room" : ", room for all"));
      const auto map = map_of(32);
      two_worlds both(device, map, small_pool());
      for (const auto& s : k.scans)
        both.add(s);
      const auto options = tight ? little_room(*both.fields, both.cpu.regions) : small_pool();
      two_worlds from(device, map, options), to(device, map, options);
      for (const auto& s : k.scans)
        CHECK(from.add_apart(s) == 0);
      if (tight)
        CHECK(from.fields->memory().regions_evicted > 0);
      to.cpu.regions = to.device.regions = from.device.regions;
      to.cpu.field = from.cpu.field;
      for (const auto& region : from.device.regions) {
        const auto image = export_and_wait(*from.fields, region);
        CHECK(image.voxels.size() == image.blocks.size() * 512);
        CHECK(std::is_sorted(image.blocks.begin(), image.blocks.end()));
        CHECK(image.bytes() == image.blocks.size() * (4 + 12'288));
        import_and_wait(*to.fields, region, image);
      }
      from.check_fields(); // as it was
      to.check_fields();
      to.check_meshes();
      for (const auto& region : from.device.regions) { // and from there to the CPU, which says the same
        const auto image = export_and_wait(*to.fields, region);
        const auto on_cpu = make_cpu_fields(map, {.threads = 0});
        import_and_wait(*on_cpu, region, image);
        CHECK(stats_and_wait(*on_cpu, region).hash == stats_and_wait(*from.cpu.field, region).hash);
      }
      // Keyframes go on from there.
      CHECK(to.add_apart(k.scans[0], -1) == 0);
      to.check_fields();
      to.check_meshes();
      if (tight)
        CHECK(to.fields->memory().evictions > 0);
    }
}

TEST_CASE("an image takes the place of what a region held; an empty one empties it; a device without room keeps what it had") {
  keyframes k(2);
  INFO("seed " << k.seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    const auto map = map_of(64);
    world large(map, device.open(map, small_pool()));
    large.add(k.scans[0]);
    const auto region = fullest_of(*large.field, large.regions);
    const auto image = export_and_wait(*large.field, region);
    const auto hash = stats_and_wait(*large.field, region).hash;
    REQUIRE(image.blocks.size() > 3);
    region_image part{{image.blocks.begin(), image.blocks.begin() + 3}, {image.voxels.begin(), image.voxels.begin() + 3 * 512}};
    std::shared_ptr<async_fields> fields = device.open(map, small_pool(image.blocks.size()));
    import_and_wait(*fields, region, part);
    CHECK(stats_and_wait(*fields, region).bytes == 3 * 12'288);
    const auto first = extract_and_wait(*fields, region);
    import_and_wait(*fields, region, image); // it fits once the old one has left
    CHECK(stats_and_wait(*fields, region).hash == hash);
    CHECK(*extract_and_wait(*fields, region) == *extract_and_wait(*large.field, region));
    import_and_wait(*fields, region, {});
    CHECK(stats_and_wait(*fields, region) == field_stats{});
    CHECK(extract_and_wait(*fields, region)->triangles() == 0);
    CHECK(export_and_wait(*fields, region).blocks.empty());

    fields = device.open(map, small_pool(image.blocks.size() - 1));
    import_and_wait(*fields, region, part);
    for (const auto& at : {region, region_key{5, 5, 5}})
      CHECK_THROWS_AS(import_and_wait(*fields, at, image), std::bad_alloc);
    CHECK(stats_and_wait(*fields, region).bytes == 3 * 12'288);
    CHECK(*extract_and_wait(*fields, region) == *first);
    const auto kept = export_and_wait(*fields, region);
    CHECK(kept.blocks == part.blocks);
    CHECK(stats_and_wait(*fields, {5, 5, 5}) == field_stats{});
  }
}

TEST_CASE("an image is added to what a region holds, on the device or in host memory; without room all stays as it was") {
  keyframes k(3);
  INFO("seed " << k.seed);
  for (const auto& device : devices())
    for (const bool tight : {false, true}) {
      INFO(device.name << (tight ? ", little room" : ", room for all"));
      const auto map = map_of(32);
      two_worlds all(device, map, small_pool()), part(device, map, small_pool());
      for (const auto& s : k.scans)
        all.add(s);
      part.add(k.scans[0]);
      part.add(k.scans[1]);
      two_worlds sum(device, map, tight ? little_room(*all.fields, all.cpu.regions) : small_pool());
      CHECK(sum.add_apart(k.scans[2]) == 0);
      for (const auto& region : part.device.regions)
        add_and_wait(*sum.fields, region, export_and_wait(*part.fields, region));
      sum.cpu.regions = sum.device.regions = all.device.regions;
      sum.cpu.field = all.cpu.field;
      sum.check_fields();
      sum.check_meshes();
    }
  for (const auto& device : devices()) {
    INFO(device.name);
    const auto map = map_of(64);
    world large(map, device.open(map, small_pool()));
    large.add(k.scans[0]);
    const auto region = fullest_of(*large.field, large.regions);
    const auto image = export_and_wait(*large.field, region);
    REQUIRE(image.blocks.size() > 3);
    region_image part{{image.blocks.begin(), image.blocks.begin() + 3}, {image.voxels.begin(), image.voxels.begin() + 3 * 512}};
    const std::shared_ptr<async_fields> fields = device.open(map, small_pool(image.blocks.size() - 1));
    add_and_wait(*fields, region, part);
    const auto was = stats_and_wait(*fields, region).hash;
    CHECK_THROWS_AS(add_and_wait(*fields, region, image), std::bad_alloc);
    CHECK(stats_and_wait(*fields, region).hash == was);
    auto bad = image;
    bad.voxels.pop_back();
    CHECK_THROWS_AS(add_and_wait(*fields, region, bad), std::invalid_argument);
  }
}

TEST_CASE("an image that is none of a region of the map is refused, and changes nothing") {
  keyframes k(1);
  INFO("seed " << k.seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    two_worlds both(device, map_of(32), small_pool());
    both.add(k.scans[0]);
    const auto region = fullest_of(*both.fields, both.device.regions);
    const auto good = export_and_wait(*both.fields, region);
    REQUIRE(good.blocks.size() > 1);
    const auto refused = [&](auto change, region_key at) {
      auto image = good;
      change(image);
      CHECK_THROWS_AS(import_and_wait(*both.fields, at, image), std::invalid_argument);
    };
    refused([](region_image& i) { i.blocks.back() = 5 * 5 * 5; }, region);
    refused([](region_image& i) { std::swap(i.blocks[0], i.blocks[1]); }, region);
    refused([](region_image& i) { i.blocks[0] = i.blocks[1]; }, region);
    refused([](region_image& i) { i.voxels.pop_back(); }, region);
    refused([](region_image& i) { i.blocks.pop_back(); }, region);
    refused([](region_image&) {}, {(1 << 19) / 32, 0, 0}); // the first beyond the map
    refused([](region_image&) {}, {0, -(1 << 19) / 32 - 1, 0});
    both.check_fields();
    both.check_meshes();
  }
}

TEST_CASE("a device that forgets all regions is as new, those in host memory and those that were preallocated included") {
  keyframes k(3);
  INFO("seed " << k.seed);
  for (const auto& device : devices())
    for (const bool tight : {false, true}) {
      INFO(device.name << (tight ? ", little room" : ", room for all"));
      world whole(map_of(32));
      uint64_t most = 0;
      for (const auto& s : k.scans)
        whole.add(s);
      for (const auto& s : k.scans)
        most = std::max(most, blocks_of(*whole.field, regions_of(whole.map, s)));
      two_worlds both(device, map_of(32), tight ? small_pool(most + 4, 1 << 30) : small_pool());
      for (int round = 0; round < 3; ++round) {
        for (const auto& s : k.scans)
          both.add(s);
        both.check_fields();
        both.check_meshes();
        clear_and_wait(*both.fields);
        both.cpu.field = make_cpu_fields(both.cpu.map, {.threads = 0});
        CHECK(both.device_stats() == field_stats{});
        for (const auto& each : both.device.meshes())
          CHECK(each.surface->vertices() == 0);
        const auto memory = both.fields->memory();
        CHECK(memory.free_blocks == memory.blocks);
        CHECK(memory.regions_here == 0);
        CHECK(memory.regions_evicted == 0);
        CHECK(memory.evicted_bytes == 0);
      }
      // In order with what waits.
      held_device held(*both.fields);
      answers<take_report> taken;
      both.fields->take(request_of(k.scans[0]), taken.next());
      both.fields->clear(ignore);
      both.fields->take(request_of(k.scans[1]), taken.next());
      held.go_on();
      taken.get();
      both.cpu.add(k.scans[1]);
      both.check_fields();
    }
}
