// Devices that share a map: each has its regions, one makes a keyframe's rays.

#include "cuda_fusing.hpp"

#include "gpu/bounds.hpp"
#include "gpu/offline_map.hpp"

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
      report_future future;
      const cuda::fuse_options how{.mesh = true, .keep_rays = true, .times = true, .share = first, .shares = shares};
      parts[first]->fuse(frame.body, frame.world_from_camera, how, answer_into(future),
                         [&](auto rays) { handed = std::move(rays); });
      const auto made = future.get(); // handed on before it
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

namespace {

/// Answers each keyframe in one way, and holds nothing.
class answering_device final : public cuda::keyframe_device {
public:
  explicit answering_device(std::exception_ptr failure) : failure_(std::move(failure)) {}
  [[nodiscard]] std::string name() const override { return "answering"; }
  void fuse(std::shared_ptr<const keyframe_body>, const pose&, cuda::fuse_options, fused answer, handed) override {
    answer({}, failure_);
  }
  void fuse_handed(std::shared_ptr<const cuda::handed_rays>, const pose&, cuda::fuse_options, fused answer) override {
    answer({}, failure_);
  }
  [[nodiscard]] std::shared_ptr<const keyframe_body> pin(const keyframe_body&) override { return nullptr; }
  void rays(std::shared_ptr<const keyframe_body>, const pose&, rays_done answer) override { answer({}, {}, failure_); }
  void integrate(region_key, std::vector<ray_job>, done answer) override { answer(failure_); }
  void extract(region_key, mesh_done answer) override { answer(std::make_shared<const mesh>(), nullptr); }
  void stats(region_key, stats_done answer) override { answer({}, nullptr); }
  void drop(region_key, done answer) override { answer(nullptr); }
  [[nodiscard]] cuda::memory_status memory() const override { return {}; }
  void break_down() override {}

private:
  std::exception_ptr failure_;
};

} // namespace

TEST_CASE("a keyframe that only some of the devices took ends the map: it holds no keyframe in part", "[emulated]") {
  std::mt19937 random(23);
  const auto map = map_of(32);
  const auto frame = some_keyframes(random, 1).front();
  const auto bad = std::make_exception_ptr(keyframe_too_large(map, 9000, false)),
             torn = std::make_exception_ptr(cuda::torn_keyframe("it changed"));
  for (const auto& why : {bad, torn}) {
    const auto offered = [&](const std::exception_ptr& first) {
      offline_options options;
      int failures = 0;
      options.on_failure = [&] { ++failures; };
      options.devices = {std::make_shared<answering_device>(first), std::make_shared<answering_device>(why)};
      offline_map shared(map, cuda::make_waiting_backend({options.devices.begin(), options.devices.end()}), options);
      verdict said;
      shared.offer(frame, [&](const verdict& v) { said = v; });
      CHECK(said.what != outcome::accepted);
      CHECK(shared.counts().keyframes == 0);
      CHECK(failures == (first ? 0 : 1));
      if (first)
        CHECK_NOTHROW(shared.finish());
      else
        CHECK_THROWS_WITH(shared.finish(), Catch::Contains("some took a keyframe, and one did not"));
    };
    offered(why);     // none took it
    offered(nullptr); // one did
  }
}

TEST_CASE("a share that there cannot be is refused", "[emulated]") {
  std::mt19937 random(1);
  const auto fields = open_emulated(map_of(32), small_pool());
  const auto frame = random_keyframe(random);
  CHECK_THROWS_WITH(fuse(*fields, frame, {.share = 2, .shares = 2}), "share is 2 of 2; there are 1 to 64");
  CHECK_THROWS_WITH(fuse(*fields, frame, {.share = 0, .shares = 65}), "share is 0 of 65; there are 1 to 64");
}
