// Keyframes taken whole: the same map as by way of the host, one at a time or many under way, with and without room.

#include "cuda_taking.hpp"

#include "gpu/cuda/device/check_device.hpp"

#include <cstring>
#include <set>

using namespace tessera;
using namespace tessera::test;

TEST_CASE("a keyframe taken whole gives the field, the meshes and the counts of the CPU") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  for (const auto& device : devices())
    for (const uint32_t edge : {16u, 64u}) {
      INFO(device.name << ", region size " << edge);
      std::mt19937 random(seed);
      auto pool = small_pool(16384); // three times as large is nine times as many blocks
      pool.most_regions = 4096; // and many small regions
      two_worlds both(device, map_of(edge), pool);
      bool pinned = false;
      auto frames = some_keyframes(random, 4);
      frames.back() = wall(random_similarity(random), random, 3000, true);
      for (const auto& frame : frames) {
        const auto report = take(*both.fields, frame, {.keep_rays = true, .mesh = true, .times = true}, pinned).get();
        pinned = !pinned;
        add_to_cpu(both, frame);
        both.check_fields();
        ray_counts expected;
        const auto rays = make_rays(both.cpu.map, *frame.body, frame.world_from_camera, expected);
        CHECK(report.counts.valid == expected.valid);
        CHECK(report.counts.not_finite == expected.not_finite);
        CHECK(report.counts.out_of_range == expected.out_of_range);
        CHECK(report.rays == rays.size());
        CHECK(in_order(report.kept) == in_order(rays));
        uint64_t beyond = 0;
        const auto cut = partition_rays(both.cpu.map, rays, frame.world_from_camera, beyond);
        CHECK(report.beyond == beyond);
        REQUIRE(report.regions.size() == cut.parts.size());
        uint64_t vertices = 0, triangles = 0;
        for (size_t i = 0; i < cut.parts.size(); ++i) {
          CHECK(report.regions[i] == cut.parts[i].region);
          const auto surface = extract_and_wait(*both.cpu.field, cut.parts[i].region);
          vertices += surface->vertices();
          triangles += surface->triangles();
        }
        CHECK(report.vertices == vertices);
        CHECK(report.triangles == triangles);
        CHECK(report.kernels > 0);
        CHECK(report.bytes_up >= frame.body->size() * 15);
        CHECK(report.upload_ms >= 0);
      }
      both.check_meshes();
    }
}

TEST_CASE("many keyframes under way at once give the same map, also where regions must leave for others") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  const auto map = map_of(32);
  const auto frames = some_keyframes(random, in_batches() ? 6 : 12);
  // Tight: the regions that one keyframe touches fit, all regions do not.
  world whole(map);
  std::vector<scan> scans;
  for (const auto& frame : frames) {
    scans.push_back(scan_of(map, frame));
    whole.add(scans.back());
  }
  uint64_t most = 0;
  for (const auto& s : scans)
    most = std::max(most, blocks_of(*whole.field, regions_of(map, s)));
  REQUIRE(most + 4 < blocks_of(*whole.field, whole.regions));
  for (const auto& device : devices())
    for (const bool tight : {false, true}) {
      INFO(device.name << (tight ? ", little room" : ", room for all"));
      auto options = tight ? small_pool(most + 4, 1 << 30) : small_pool();
      options.ray_lanes = 3;
      two_worlds both(device, map, options);
      std::vector<report_future> reports;
      for (const auto& frame : frames)
        reports.push_back(take(*both.fields, frame, {.mesh = reports.size() % 2 == 0}));
      for (auto& report : reports)
        report.get();
      for (const auto& s : scans)
        both.cpu.add(s);
      both.device.regions = both.cpu.regions;
      if (tight)
        CHECK(both.fields->memory().evictions > 0);
      both.check_fields();
      both.check_meshes();
      // Undo from rays what came in as points.
      for (size_t i = 0; i < scans.size(); i += 2)
        both.add(scans[i], -1);
      both.check_fields();
      both.check_meshes();
    }
}

TEST_CASE("keyframes that wait at the same time are meshed together, eight at most") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    std::mt19937 random(seed);
    auto options = small_pool();
    options.ray_lanes = 3;
    two_worlds both(device, map_of(32), options);
    const auto frames = some_keyframes(random, 11);
    for (const auto& frame : frames) { // afterwards none is left out for want of a region
      take(*both.fields, frame).get();
      add_to_cpu(both, frame);
    }
    held_device held(*both.fields); // until all of them wait
    std::vector<report_future> reports;
    for (size_t i = 0; i < frames.size(); ++i)
      reports.push_back(take(*both.fields, frames[i], {.mesh = i != 9}));
    held.go_on();
    // Eight, one that another follows which is not meshed, that one, and the last.
    const std::vector<uint32_t> expected{0, 0, 0, 0, 0, 0, 0, 8, 1, 0, 1};
    std::set<region_key> touched;
    for (size_t i = 0; i < frames.size(); ++i) {
      const auto report = reports[i].get();
      CHECK(report.meshed == expected[i]);
      add_to_cpu(both, frames[i]);
      touched.insert(report.regions.begin(), report.regions.end());
      uint64_t vertices = 0, triangles = 0;
      for (const auto region : touched) {
        const auto surface = extract_and_wait(*both.cpu.field, region);
        vertices += surface->vertices();
        triangles += surface->triangles();
      }
      CHECK(report.vertices == (expected[i] > 0 ? vertices : 0));
      CHECK(report.triangles == (expected[i] > 0 ? triangles : 0));
      if (expected[i] > 0 || i == 9)
        touched.clear();
    }
    both.check_fields();
    both.check_meshes();
  }
}

TEST_CASE("where the last of a group cannot be taken, the others are meshed all the same") {
  std::mt19937 random(11);
  for (const auto& device : devices()) {
    INFO(device.name);
    auto options = small_pool();
    options.ray_lanes = 3;
    two_worlds both(device, map_of(32), options);
    const auto frames = some_keyframes(random, 3);
    held_device held(*both.fields);
    auto torn = frames[2];
    torn.body = std::make_shared<torn_body>(torn.body);
    auto first = take(*both.fields, frames[0], {.mesh = true}), second = take(*both.fields, frames[1], {.mesh = true}),
         last = take(*both.fields, torn, {.mesh = true});
    held.go_on();
    CHECK_THROWS_WITH(last.get(), "the segment shrank");
    CHECK(first.get().meshed == 0);
    const auto report = second.get();
    CHECK(report.meshed == 2);
    add_to_cpu(both, frames[0]);
    add_to_cpu(both, frames[1]);
    uint64_t triangles = 0;
    for (const auto& each : both.cpu.meshes())
      triangles += each.surface->triangles();
    CHECK(report.triangles == triangles);
    both.check_fields();
    CHECK_NOTHROW(take(*both.fields, frames[2], {.mesh = true}).get());
    add_to_cpu(both, frames[2]);
    both.check_fields();
    both.check_meshes();
  }
}

TEST_CASE("a keyframe taken whole for which there is no room is refused, and nothing of it stays") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    std::mt19937 random(seed);
    const auto frames = some_keyframes(random, 8);
    uint64_t most = 0; // one keyframe fits
    for (const auto& frame : frames) {
      world alone(map_of(32));
      alone.add(scan_of(alone.map, frame));
      most = std::max(most, blocks_of(*alone.field, alone.regions));
    }
    auto options = small_pool(most + 4, 0);
    options.ray_lanes = 2;
    two_worlds both(device, map_of(32), options);
    std::vector<report_future> reports;
    for (const auto& frame : frames)
      reports.push_back(take(*both.fields, frame, {.mesh = true}));
    size_t refused = 0;
    for (size_t i = 0; i < frames.size(); ++i) {
      try {
        reports[i].get();
      } catch (const std::bad_alloc&) {
        ++refused;
        continue;
      }
      add_to_cpu(both, frames[i]);
    }
    CHECK(refused > 0);
    CHECK(refused < frames.size());
    both.check_fields();
    both.check_meshes();
  }
}

TEST_CASE("a keyframe whose rays the host has no room to keep is refused, and nothing of it stays", "[emulated]") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  std::mt19937 random(seed);
  const emulated_device::options how;
  const device_under_test filling{
    "emulated, filling", [&](const map_settings& map, const cuda::field_options& o) { return open_emulated(map, o, how); }};
  two_worlds both(filling, map_of(32), small_pool());
  const auto frame = random_keyframe(random);
  take(*both.fields, frame).get(); // so that all else has its memory
  add_to_cpu(both, frame);
  for (const bool mesh : {false, true})
    for (const int sign : {1, -1}) {
      *how.host_is_full = true;
      CHECK_THROWS_AS(take(*both.fields, frame, {.sign = sign, .keep_rays = true, .mesh = mesh}).get(), std::bad_alloc);
      *how.host_is_full = false;
      both.check_fields();
      both.check_meshes();
    }
  CHECK(!take(*both.fields, frame, {.keep_rays = true}).get().kept.empty());
}

TEST_CASE("what is asked after a keyframe was answered finds it, what is asked before sees all of it or nothing") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    std::mt19937 random(seed);
    two_worlds both(device, map_of(256), small_pool());
    const auto frames = some_keyframes(random, 2);
    const auto region = regions_of(both.cpu.map, scan_of(both.cpu.map, frames[0])).front();
    const auto on_cpu = [&] { return stats_and_wait(*both.cpu.field, region).hash; };
    answers<field_stats> seen;
    std::vector<map_hash> may_be{on_cpu()};
    for (const auto& frame : frames) {
      both.fields->stats(region, seen.next());
      auto taken = take(*both.fields, frame);
      both.fields->stats(region, seen.next());
      taken.get();
      add_to_cpu(both, frame);
      may_be.push_back(on_cpu());
      CHECK(stats_and_wait(*both.fields, region).hash == may_be.back());
    }
    const auto all = seen.get();
    for (size_t i = 0; i < all.size(); ++i)
      CHECK((all[i].hash == may_be[i / 2] || all[i].hash == may_be[i / 2 + 1]));
  }
}

/// Takes the same keyframes round after round, all of a round at once. `each` sees every report, `after` comes after every round;
/// both get the round's number.
template <class Each, class After>
void take_rounds(const emulated_device::options& how, int rounds, const take_request& request, Each each, After after) {
  auto options = small_pool();
  options.ray_lanes = 2;
  const auto fields = open_emulated(map_of(32), options, how);
  std::mt19937 random(7);
  const auto frames = some_keyframes(random, 5);
  for (int round = 0; round < rounds; ++round) {
    std::vector<report_future> reports;
    for (const auto& frame : frames)
      reports.push_back(take(*fields, frame, request));
    for (auto& report : reports)
      each(round, report.get());
    after(round);
  }
}

TEST_CASE("in steady state taking keyframes whole allocates nothing, and takes one attempt", "[emulated]") {
  const emulated_device::options how;
  int after_second = 0;
  take_rounds(
    how, 4, {.mesh = true}, [](int round, const take_report& report) { CHECK((report.attempts == 1 || round == 0)); },
    [&](int round) { after_second = round == 1 ? how.allocations->load() : after_second; });
  CHECK(*how.allocations == after_second);
}

TEST_CASE("points and colours in pinned memory are one piece, and one copy", "[emulated]") {
  const auto fields = open_emulated(map_of(32), small_pool());
  std::mt19937 random(7);
  for (const auto& frame : some_keyframes(random, 2)) {
    const auto pinned = fields->pin(*frame.body);
    const auto same = [](const auto& a, const auto& b) { // NaN, too
      return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
    };
    CHECK(same(pinned->points(), frame.body->points()));
    CHECK(same(pinned->colours(), frame.body->colours()));
    CHECK(same(pinned->confidence(), frame.body->confidence()));
    CHECK(static_cast<const void*>(pinned->points().data() + pinned->points().size()) == pinned->colours().data());
    take(*fields, frame, {}, true).get(); // twice: its regions are new
    CHECK(take(*fields, frame, {}, true).get().copies == (frame.body->confidence().empty() ? 2 : 3)); // with what comes down
  }
}

TEST_CASE("rays that wait to be copied take so much memory as are held, and no more with time", "[emulated]") {
  const emulated_device::options how;
  int after_some = 0;
  take_rounds(
    how, 40, {.keep_rays = true}, [](int, const take_report& report) { CHECK(!report.kept.empty()); },
    [&](int round) { after_some = round == 4 ? how.allocations->load() : after_some; });
  CHECK(*how.allocations <= after_some + 10); // two lanes may each hold what five keyframes wait with
}

TEST_CASE("work is recorded once, also if each keyframe's points come in pinned memory of their own", "[emulated]") {
  const emulated_device::options how;
  const auto fields = open_emulated(map_of(32), small_pool(), how);
  std::mt19937 random(7);
  const auto frames = some_keyframes(random, 5);
  int after_first = 0;
  for (int round = 0; round < 3; ++round) {
    for (const auto& frame : frames)
      take(*fields, frame, {.mesh = true}, true).get();
    if (round == 0)
      after_first = *how.recordings;
  }
  CHECK(after_first > 0);
  CHECK(*how.recordings == after_first);
}

TEST_CASE("a camera that moves on comes to regions that were preallocated: its keyframes take one attempt") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    std::mt19937 random(seed);
    const auto map = map_of(16);
    const auto step = map.voxel_m * 8;
    auto options = small_pool();
    options.most_regions = 8192; // as long as half of them are unused, some are preallocated
    two_worlds both(device, map, options);
    pose at = random_pose(random);
    for (int i = 0; i < 6; ++i, at.m[3] += step) {
      std::mt19937 same = random; // the same wall before the camera, which moves on
      const auto frame = wall(at, same, 3000, true);
      const auto report = take(*both.fields, frame, {.mesh = true}).get();
      CHECK((report.attempts == 1 || i == 0));
      add_to_cpu(both, frame);
    }
    both.check_fields();
    both.check_meshes();
    CHECK(both.fields->memory().regions_here == both.cpu.regions.size()); // those that were only preallocated do not count
    CHECK(both.fields->memory().regions_evicted == 0);
  }
}

TEST_CASE("a keyframe whose memory changes while it is copied is refused, and the device goes on") {
  std::mt19937 random(3);
  for (const auto& device : devices()) {
    INFO(device.name);
    two_worlds both(device, map_of(32), small_pool());
    auto frame = random_keyframe(random);
    const auto whole = frame;
    frame.body = std::make_shared<torn_body>(frame.body);
    CHECK_THROWS_WITH(take(*both.fields, frame).get(), "the segment shrank");
    CHECK_NOTHROW(take(*both.fields, whole).get());
    add_to_cpu(both, whole);
    both.check_fields();
  }
}

TEST_CASE("a device that fails says so for every keyframe under way", "[emulated]") {
  emulated_device::options how;
  auto options = small_pool();
  options.ray_lanes = 3;
  const auto fields = open_emulated(map_of(64), options, how);
  std::mt19937 random(5);
  *how.broken = true;
  std::vector<report_future> reports;
  for (const auto& frame : some_keyframes(random, 5))
    reports.push_back(take(*fields, frame));
  for (auto& report : reports)
    CHECK_THROWS_WITH(report.get(), "the emulated device is broken");
}

TEST_CASE("a device is compared with the CPU before it is used, and is empty afterwards") {
  for (const auto& device : devices())
    for (const float voxel_m : {0.05f, 0.01f}) {
      INFO(device.name);
      map_settings map = map_of(64);
      map.voxel_m = voxel_m;
      map.truncation_m = 3 * voxel_m;
      const auto fields = device.open(map, small_pool());
      CHECK_NOTHROW(cuda::check_device(*fields, map));
      (void)stats_and_wait(*fields, {0, 0, 0}); // memory() is up to date after it
      CHECK(fields->memory().free_blocks == fields->memory().blocks);
      CHECK(fields->memory().regions_here == 0);
    }
}

TEST_CASE("a device that gives other bytes than the CPU is found out") {
  // One whose rays end a 256th of a voxel too far, as another rounding would have it.
  class rounding final : public async_fields {
  public:
    explicit rounding(std::shared_ptr<async_fields> real) : real_(std::move(real)) {}
    [[nodiscard]] std::string name() const override { return real_->name(); }
    void take(take_request what, take_done answer) override {
      real_->take(std::move(what), [this, answer](take_report report, const std::exception_ptr& failure) {
        if (wrong == "rays" && !report.kept.empty())
          ++report.kept[report.kept.size() / 2].x;
        answer(std::move(report), failure);
      });
    }
    void rays(std::shared_ptr<const keyframe_body> body, const pose& at, rays_done answer) override {
      real_->rays(std::move(body), at, std::move(answer));
    }
    void extract(region_key region, mesh_done answer) override { real_->extract(region, std::move(answer)); }
    void stats(region_key region, stats_done answer) override { real_->stats(region, std::move(answer)); }
    void drop(region_key region, done answer) override { real_->drop(region, std::move(answer)); }
    void clear(done answer) override { real_->clear(std::move(answer)); }
    void export_region(region_key region, image_done answer) override { real_->export_region(region, std::move(answer)); }
    void import_region(region_key region, region_image image, done answer) override {
      real_->import_region(region, std::move(image), std::move(answer));
    }
    void add_region(region_key region, region_image image, done answer) override {
      real_->add_region(region, std::move(image), std::move(answer));
    }
    [[nodiscard]] memory_status memory() const override { return real_->memory(); }
    [[nodiscard]] std::shared_ptr<const keyframe_body> pin(const keyframe_body& body) override { return real_->pin(body); }
    void break_down(breakage how) override { real_->break_down(how); }
    std::string wrong;

  private:
    std::shared_ptr<async_fields> real_;
  };
  const auto map = map_of(64);
  auto other = map;
  other.truncation_m *= 1.01f; // makes other distances
  for (const auto& device : devices()) {
    INFO(device.name);
    rounding rays(device.open(map, small_pool()));
    rays.wrong = "rays";
    CHECK_THROWS_WITH(cuda::check_device(rays, map), Catch::Matchers::StartsWith("its rays are not those of the CPU"));
    rounding voxels(device.open(other, small_pool()));
    CHECK_THROWS_WITH(cuda::check_device(voxels, map), Catch::Matchers::StartsWith("its voxels are not those of the CPU"));
  }
}
