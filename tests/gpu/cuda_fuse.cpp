// Keyframes taken whole: the same map as by way of the host, one at a time or many under way, with and without room.

#include "cuda_world.hpp"

#include "gpu/cuda/check_device.hpp"
#include "gpu/offline_map.hpp"

#include <algorithm>
#include <set>
#include <tuple>

using namespace tessera;
using namespace tessera::test;

namespace {

using report_future = std::future<cuda::fuse_report>;

report_future fuse(cuda::keyframe_device& fields, const keyframe& frame, cuda::fuse_options options = {}, bool pinned = false) {
  auto promise = std::make_shared<std::promise<cuda::fuse_report>>();
  auto future = promise->get_future();
  fields.fuse(pinned ? fields.pin(*frame.body) : frame.body, frame.world_from_camera, options,
              [promise](cuda::fuse_report report, const std::exception_ptr& failure) {
                failure ? promise->set_exception(failure) : promise->set_value(std::move(report));
              });
  return future;
}

report_future fuse_handed(cuda::keyframe_device& fields, std::shared_ptr<const cuda::handed_rays> rays, const keyframe& frame,
                          cuda::fuse_options options) {
  auto promise = std::make_shared<std::promise<cuda::fuse_report>>();
  auto future = promise->get_future();
  fields.fuse_handed(std::move(rays), frame.world_from_camera, options,
                     [promise](cuda::fuse_report report, const std::exception_ptr& failure) {
                       failure ? promise->set_exception(failure) : promise->set_value(std::move(report));
                     });
  return future;
}

std::vector<ray> in_order(std::vector<ray> rays) {
  const auto key = [](const ray& r) { return std::tuple(r.x, r.y, r.z, r.r, r.g, r.b, r.points); };
  std::sort(rays.begin(), rays.end(), [&](const ray& a, const ray& b) { return key(a) < key(b); });
  return rays;
}

std::tuple<int32_t, int32_t, int32_t> end_of(const ray& r) {
  return {r.x, r.y, r.z};
}

std::vector<keyframe> some_keyframes(std::mt19937& random, size_t count) {
  std::vector<keyframe> out;
  for (size_t i = 0; i < count; ++i)
    out.push_back(random_keyframe(random));
  return out;
}

/// A keyframe whose memory changes while it is copied.
class torn_body final : public keyframe_body {
public:
  explicit torn_body(std::shared_ptr<const keyframe_body> from) : from_(std::move(from)) {}
  [[nodiscard]] std::span<const float> points() const override { return from_->points(); }
  [[nodiscard]] std::span<const uint8_t> colours() const override { return from_->colours(); }
  [[nodiscard]] uint32_t channels() const override { return from_->channels(); }
  [[nodiscard]] std::span<const float> confidence() const override { return from_->confidence(); }
  [[nodiscard]] std::string torn() const override { return "its segment shrank"; }

private:
  std::shared_ptr<const keyframe_body> from_;
};

/// The map of the CPU takes a keyframe; the device's is told which regions there are.
void add_to_cpu(two_worlds& both, const keyframe& frame, int sign = 1) {
  both.cpu.add(scan_of(both.cpu.map, frame), sign);
  both.device.regions = both.cpu.regions;
}

} // namespace

TEST_CASE("a keyframe taken whole gives the field, the meshes and the counts of the CPU") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  for (const auto& device : devices())
    for (const uint32_t edge : {16u, 64u}) {
      INFO(device.name << ", region size " << edge);
      std::mt19937 random(seed);
      two_worlds both(device, map_of(edge), small_pool());
      bool pinned = false;
      for (const auto& frame : some_keyframes(random, 4)) {
        const auto report = fuse(*both.fields, frame, {.mesh = true, .keep_rays = true, .times = true}, pinned).get();
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
          const auto surface = both.cpu.field->extract(cut.parts[i].region);
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
  uint64_t most = 0, all = 0;
  const auto blocks_of = [&](region_key region) { return whole.field->stats(region).bytes / 12'288; };
  for (const auto& s : scans) {
    uint64_t beyond = 0, blocks = 0;
    for (const auto& part : partition_rays(map, s.rays, s.at, beyond).parts)
      blocks += blocks_of(part.region);
    most = std::max(most, blocks);
  }
  for (const auto& region : whole.regions)
    all += blocks_of(region);
  REQUIRE(most + 4 < all);
  for (const auto& device : devices())
    for (const bool tight : {false, true}) {
      INFO(device.name << (tight ? ", little room" : ", room for all"));
      auto options = tight ? small_pool(most + 4, 1 << 30) : small_pool();
      options.ray_lanes = 3;
      two_worlds both(device, map, options);
      std::vector<report_future> reports;
      for (const auto& frame : frames)
        reports.push_back(fuse(*both.fields, frame, {.mesh = reports.size() % 2 == 0}));
      for (auto& report : reports)
        report.get();
      for (const auto& s : scans)
        both.cpu.add(s);
      both.device.regions = both.cpu.regions;
      if (tight)
        CHECK(both.fields->memory().moves_out > 0);
      both.check_fields();
      both.check_meshes();
      // Undo by way of the host what came in whole.
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
      fuse(*both.fields, frame).get();
      add_to_cpu(both, frame);
    }
    // The device is held up until all of them wait.
    std::promise<void> all_wait;
    std::promise<void> held;
    both.fields->stats({0, 0, 0}, [&](const field_stats&, const std::exception_ptr&) {
      held.set_value();
      all_wait.get_future().wait();
    });
    held.get_future().wait();
    std::vector<report_future> reports;
    for (size_t i = 0; i < frames.size(); ++i)
      reports.push_back(fuse(*both.fields, frames[i], {.mesh = i != 9}));
    all_wait.set_value();
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
        const auto surface = both.cpu.field->extract(region);
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
    std::promise<void> all_wait;
    std::promise<void> held;
    both.fields->stats({0, 0, 0}, [&](const field_stats&, const std::exception_ptr&) {
      held.set_value();
      all_wait.get_future().wait();
    });
    held.get_future().wait();
    auto torn = frames[2];
    torn.body = std::make_shared<torn_body>(torn.body);
    auto first = fuse(*both.fields, frames[0], {.mesh = true}), second = fuse(*both.fields, frames[1], {.mesh = true}),
         last = fuse(*both.fields, torn, {.mesh = true});
    all_wait.set_value();
    CHECK_THROWS_WITH(last.get(), "its segment shrank");
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
    CHECK_NOTHROW(fuse(*both.fields, frames[2], {.mesh = true}).get());
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
      uint64_t bytes = 0;
      for (const auto& region : alone.regions)
        bytes += alone.field->stats(region).bytes;
      most = std::max(most, bytes / 12'288);
    }
    auto options = small_pool(most + 4, 0);
    options.ray_lanes = 2;
    two_worlds both(device, map_of(32), options);
    std::vector<report_future> reports;
    for (const auto& frame : frames)
      reports.push_back(fuse(*both.fields, frame, {.mesh = true}));
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

TEST_CASE("keyframes taken whole and requests of regions take effect in the order they were made") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    std::mt19937 random(seed);
    two_worlds both(device, map_of(256), small_pool());
    const auto frames = some_keyframes(random, 2);
    const auto region = partition_rays(both.cpu.map, scan_of(both.cpu.map, frames[0]).rays, frames[0].world_from_camera,
                                       *std::make_unique<uint64_t>())
                          .parts.front()
                          .region;
    std::vector<std::future<map_hash>> seen;
    const auto look = [&] {
      auto promise = std::make_shared<std::promise<map_hash>>();
      seen.push_back(promise->get_future());
      both.fields->stats(region, [promise](const field_stats& s, const std::exception_ptr&) { promise->set_value(s.hash); });
    };
    look();
    auto first = fuse(*both.fields, frames[0]);
    look();
    auto second = fuse(*both.fields, frames[1]);
    look();
    first.get();
    second.get();
    CHECK(seen[0].get() == map_hash{});
    add_to_cpu(both, frames[0]);
    CHECK(seen[1].get() == both.cpu.field->stats(region).hash);
    add_to_cpu(both, frames[1]);
    CHECK(seen[2].get() == both.cpu.field->stats(region).hash);
  }
}

TEST_CASE("in steady state taking keyframes whole allocates nothing, and takes one attempt", "[emulated]") {
  const emulated_device::options how;
  auto options = small_pool();
  options.ray_lanes = 2;
  const auto fields = open_emulated(map_of(32), options, how);
  std::mt19937 random(7);
  const auto frames = some_keyframes(random, 5);
  int after_second = 0;
  for (int round = 0; round < 4; ++round) {
    std::vector<report_future> reports;
    for (const auto& frame : frames)
      reports.push_back(fuse(*fields, frame, {.mesh = true}));
    for (auto& report : reports)
      CHECK((report.get().attempts == 1 || round == 0));
    if (round == 1)
      after_second = *how.allocations;
  }
  CHECK(*how.allocations == after_second);
}

TEST_CASE("work is recorded once, also if each keyframe's points come in pinned memory of their own", "[emulated]") {
  const emulated_device::options how;
  const auto fields = open_emulated(map_of(32), small_pool(), how);
  std::mt19937 random(7);
  const auto frames = some_keyframes(random, 5);
  int after_first = 0;
  for (int round = 0; round < 3; ++round) {
    for (const auto& frame : frames)
      fuse(*fields, frame, {.mesh = true}, true).get();
    if (round == 0)
      after_first = *how.recordings;
  }
  CHECK(after_first > 0);
  CHECK(*how.recordings == after_first);
}

TEST_CASE("a camera that moves on comes to regions that were foreseen: its keyframes take one attempt") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    std::mt19937 random(seed);
    const auto map = map_of(16);
    const auto step = map.voxel_m * 8;
    auto options = small_pool();
    options.most_regions = 8192; // as long as half of them are unused, some are foreseen
    two_worlds both(device, map, options);
    pose at = random_pose(random);
    for (int i = 0; i < 6; ++i, at.m[3] += step) {
      std::mt19937 same = random; // the same wall before the camera, which moves on
      const auto frame = wall(at, same, 3000, true);
      const auto report = fuse(*both.fields, frame, {.mesh = true}).get();
      CHECK((report.attempts == 1 || i == 0));
      add_to_cpu(both, frame);
    }
    both.check_fields();
    both.check_meshes();
    CHECK(both.fields->memory().regions_here == both.cpu.regions.size()); // those that were only foreseen do not count
    CHECK(both.fields->memory().regions_away == 0);
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
    CHECK_THROWS_WITH(fuse(*both.fields, frame).get(), "its segment shrank");
    CHECK_NOTHROW(fuse(*both.fields, whole).get());
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
    reports.push_back(fuse(*fields, frame));
  for (auto& report : reports)
    CHECK_THROWS_WITH(report.get(), "the emulated device is broken");
}

TEST_CASE("a device is compared with the CPU before it is used, and is empty afterwards") {
  for (const auto& device : devices())
    for (const float voxel_m : {0.05f, 0.01f}) {
      INFO(device.name);
      mapping map = map_of(64);
      map.voxel_m = voxel_m;
      map.truncation_m = 3 * voxel_m;
      const auto fields = device.open(map, small_pool());
      CHECK_NOTHROW(cuda::check_device(*fields, map));
      (void)cuda::make_waiting_backend(fields)->stats({0, 0, 0}); // memory() is up to date after it
      CHECK(fields->memory().free_blocks == fields->memory().blocks);
      CHECK(fields->memory().regions_here == 0);
    }
}

TEST_CASE("a device that gives other bytes than the CPU is found out") {
  // One whose rays end a 256th of a voxel too far, as another rounding would have it.
  class rounding final : public cuda::keyframe_device {
  public:
    explicit rounding(std::shared_ptr<cuda::keyframe_device> real) : real_(std::move(real)) {}
    [[nodiscard]] std::string name() const override { return real_->name(); }
    void rays(std::shared_ptr<const keyframe_body> body, const pose& at, rays_done answer) override {
      real_->rays(std::move(body), at, std::move(answer));
    }
    void integrate(region_key region, std::vector<ray_job> jobs, done answer) override {
      real_->integrate(region, std::move(jobs), std::move(answer));
    }
    void extract(region_key region, mesh_done answer) override { real_->extract(region, std::move(answer)); }
    void stats(region_key region, stats_done answer) override { real_->stats(region, std::move(answer)); }
    void drop(region_key region, done answer) override { real_->drop(region, std::move(answer)); }
    [[nodiscard]] cuda::memory_status memory() const override { return real_->memory(); }
    void break_down() override { real_->break_down(); }
    void fuse(std::shared_ptr<const keyframe_body> body, const pose& at, cuda::fuse_options options, fused answer,
              handed hand_on) override {
      const auto changed = [this, answer](cuda::fuse_report report, const std::exception_ptr& failure) {
        if (wrong == "rays" && !report.kept.empty())
          ++report.kept[report.kept.size() / 2].x;
        answer(std::move(report), failure);
      };
      real_->fuse(std::move(body), at, options, changed, std::move(hand_on));
    }
    void fuse_handed(std::shared_ptr<const cuda::handed_rays> rays, const pose& at, cuda::fuse_options options,
                     fused answer) override {
      real_->fuse_handed(std::move(rays), at, options, std::move(answer));
    }
    [[nodiscard]] std::shared_ptr<const keyframe_body> pin(const keyframe_body& body) override { return real_->pin(body); }
    std::string wrong;

  private:
    std::shared_ptr<cuda::keyframe_device> real_;
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

TEST_CASE("devices that share a map hold it together: the hash and the meshes are those of one") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  for (const auto& device : devices())
    for (const uint32_t threads : {1u, 2u}) {
      INFO(device.name << ", threads " << threads);
      std::mt19937 random(seed);
      const auto map = map_of(in_batches() ? 64 : 32);
      const auto frames = some_keyframes(random, 5);
      const auto make = [&](uint32_t count) {
        offline_options options;
        options.threads = threads;
        options.extract_each = true;
        options.keep_rays = true;
        std::vector<std::shared_ptr<cuda::async_fields>> fields;
        for (uint32_t i = 0; i < count; ++i) {
          options.devices.push_back(device.open(map, small_pool()));
          fields.push_back(options.devices.back());
        }
        return std::make_unique<offline_map>(map, cuda::make_waiting_backend(fields), std::move(options));
      };
      offline_options keeping;
      keeping.keep_rays = true;
      offline_map cpu(map, make_cpu_backend(map), keeping);
      const auto one = make(1), three = make(3);
      const auto ignore = [](const verdict&) {};
      int number = 0;
      for (auto frame : frames) {
        frame.id.value = std::to_string(number++);
        for (offline_map* each : {&cpu, one.get(), three.get()})
          each->offer(frame, ignore);
      }
      for (offline_map* each : {&cpu, one.get(), three.get()}) {
        each->retract({"1"}, ignore);
        each->revise({"2"}, frames[3].world_from_camera, ignore);
        each->finish();
      }
      CHECK(cpu.stats().blocks > 0);
      for (offline_map* each : {one.get(), three.get()}) {
        CHECK(each->stats().hash == cpu.stats().hash);
        CHECK(each->regions() == cpu.regions());
        CHECK(each->counts().rays == cpu.counts().rays);
        const auto expected = cpu.meshes(), found = each->meshes();
        REQUIRE(found.size() == expected.size());
        for (size_t i = 0; i < found.size(); ++i) {
          CHECK(found[i].region == expected[i].region);
          CHECK(*found[i].surface == *expected[i].surface);
        }
      }
    }
}

TEST_CASE("of devices that share a map one makes the rays, and hands each other device those that touch its regions") {
  const unsigned seed = std::random_device{}();
  INFO("seed " << seed);
  constexpr uint32_t shares = 3;
  for (const auto& device : devices()) {
    INFO(device.name);
    std::mt19937 random(seed);
    const auto map = map_of(32);
    world whole(map);
    auto options = small_pool();
    options.ray_lanes = 2;
    std::vector<std::shared_ptr<cuda::keyframe_device>> parts;
    for (uint32_t i = 0; i < shares; ++i)
      parts.push_back(device.open(map, options));
    uint32_t first = 0;
    for (const auto& frame : some_keyframes(random, 5)) {
      const auto s = scan_of(map, frame);
      whole.add(s);
      std::vector<std::shared_ptr<const cuda::handed_rays>> handed;
      std::promise<cuda::fuse_report> promise;
      const cuda::fuse_options how{.mesh = true, .keep_rays = true, .times = true, .share = first, .shares = shares};
      parts[first]->fuse(
        frame.body, frame.world_from_camera, how,
        [&](cuda::fuse_report report, const std::exception_ptr& failure) {
          failure ? promise.set_exception(failure) : promise.set_value(std::move(report));
        },
        [&](auto rays) { handed = std::move(rays); });
      const auto made = promise.get_future().get(); // handed on before it
      CHECK(in_order(made.kept) == in_order(s.rays));
      uint64_t beyond = 0;
      const auto cut = partition_rays(map, s.rays, frame.world_from_camera, beyond);
      CHECK(made.beyond == beyond);
      REQUIRE(handed.size() == shares);
      for (uint32_t share = 0; share < shares; ++share) {
        INFO("share " << share << ", made by " << first);
        std::set<region_key> wanted;
        std::set<std::tuple<int32_t, int32_t, int32_t>> touching; // rays: a cell has one
        for (const auto& part : cut.parts)
          if (cuda::owner_of(part.region, shares) == share) {
            wanted.insert(part.region);
            for (uint32_t i = part.first; i < part.first + part.count; ++i)
              touching.insert(end_of((*cut.batch.rays)[i]));
          }
        auto regions = made.regions;
        if (share != first) {
          REQUIRE(handed[share] != nullptr);
          CHECK(handed[share]->size() == touching.size());
          const cuda::fuse_options how_other{.mesh = true, .times = true, .share = share, .shares = shares};
          const auto report = fuse_handed(*parts[share], std::move(handed[share]), frame, how_other).get();
          CHECK(report.rays == 0);
          regions = report.regions;
        } else {
          CHECK(handed[share] == nullptr);
        }
        CHECK(std::set(regions.begin(), regions.end()) == wanted);
      }
      first = (first + 1) % shares;
    }
    map_hash sum;
    uint64_t blocks = 0;
    for (const auto& region : whole.regions)
      for (uint32_t share = 0; share < shares; ++share) {
        const auto fields = cuda::make_waiting_backend(std::shared_ptr<cuda::async_fields>(parts[share]));
        const auto found = fields->stats(region);
        CHECK((found.blocks == 0 || cuda::owner_of(region, shares) == share));
        sum += found.hash;
        blocks += found.blocks;
        if (cuda::owner_of(region, shares) == share)
          CHECK(*fields->extract(region) == *whole.field->extract(region));
      }
    CHECK(sum == whole.stats().hash);
    CHECK(blocks == whole.stats().blocks);
  }
}

TEST_CASE("a keyframe that the device which makes its rays cannot take is refused as a whole, and the map goes on") {
  std::mt19937 random(17);
  for (const auto& device : devices()) {
    INFO(device.name);
    const auto map = map_of(32);
    offline_options options;
    options.threads = 2;
    std::vector<std::shared_ptr<cuda::async_fields>> fields;
    for (int i = 0; i < 2; ++i) {
      options.devices.push_back(device.open(map, small_pool()));
      fields.push_back(options.devices.back());
    }
    offline_map shared(map, cuda::make_waiting_backend(fields), options), cpu(map, make_cpu_backend(map), {});
    std::atomic<int> refused = 0;
    int number = 0;
    for (auto frame : some_keyframes(random, 4)) {
      frame.id.value = std::to_string(number++);
      if (number != 2)
        cpu.offer(frame, [](const verdict&) {});
      else
        frame.body = std::make_shared<torn_body>(frame.body);
      shared.offer(frame, [&](const verdict& v) { refused += v.what == outcome::refused; });
    }
    shared.finish();
    cpu.finish();
    CHECK(refused == 1);
    CHECK(shared.counts().set_aside == 1);
    CHECK(shared.counts().keyframes == 3);
    CHECK(shared.stats().hash == cpu.stats().hash);
  }
}

TEST_CASE("a share that there cannot be is refused", "[emulated]") {
  std::mt19937 random(1);
  const auto fields = open_emulated(map_of(32), small_pool());
  const auto frame = random_keyframe(random);
  CHECK_THROWS_WITH(fuse(*fields, frame, {.share = 2, .shares = 2}), "share is 2 of 2; there are 1 to 64");
  CHECK_THROWS_WITH(fuse(*fields, frame, {.share = 0, .shares = 65}), "share is 0 of 65; there are 1 to 64");
}
