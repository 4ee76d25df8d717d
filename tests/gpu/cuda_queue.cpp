// The asynchronous interface: batches of many regions, their order, their refusals and their failures.

#include "cuda_world.hpp"

#include <latch>

using namespace tessera;
using namespace tessera::test;

namespace {

struct part_of_scan {
  region_key region;
  ray_job job;
};

std::vector<part_of_scan> parts_of(const mapping& map, const scan& s, int sign = 1) {
  uint64_t beyond = 0;
  const auto cut = partition_rays(map, s.rays, s.at, beyond);
  std::vector<part_of_scan> out;
  for (const auto& p : cut.parts)
    out.push_back({p.region, {cut.batch, p.first, p.count, s.at, sign, 0, 0}});
  return out;
}

/// Holds the device's thread until it goes, so that requests pile up.
class held_device {
public:
  explicit held_device(cuda::async_fields& fields) {
    fields.drop({77, 77, 77}, [go = go_.get_future().share(), this](const std::exception_ptr&) {
      started_.set_value();
      go.wait();
    });
    started_.get_future().wait();
  }
  void let_go() { go_.set_value(); }

private:
  std::promise<void> go_, started_;
};

} // namespace

TEST_CASE("requests of many regions at once are one batch of a handful of launches, and give the same bytes") {
  keyframes k(4);
  INFO("seed " << k.seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    const auto map = map_of(16);
    two_worlds both(device, map, small_pool());
    const auto before = both.fields->memory();
    held_device hold(*both.fields);
    std::atomic<int> failures{0};
    size_t requests = 0;
    for (const auto& s : k.scans) {
      both.cpu.add(s);
      for (auto& p : parts_of(map, s)) {
        both.device.regions.insert(p.region);
        both.fields->integrate(p.region, {p.job}, [&](const std::exception_ptr& failure) { failures += failure != nullptr; });
        ++requests;
      }
    }
    std::map<region_key, std::shared_ptr<const mesh>> meshes;
    for (const auto& r : both.device.regions)
      both.fields->extract(r, [&, r](std::shared_ptr<const mesh> m, const std::exception_ptr& failure) {
        failures += failure != nullptr;
        meshes[r] = std::move(m);
      });
    hold.let_go();
    (void)both.device.stats(); // waits for all that was asked before
    CHECK(failures == 0);
    REQUIRE(requests > 40);
    const auto after = both.fields->memory();
    const auto batches = after.batches - before.batches - both.device.regions.size(); // those that stats() made one by one
    CHECK(batches <= 4);
    const auto kernels = after.kernels - before.kernels - 2 * both.device.regions.size();
    CHECK(kernels <= 24);
    both.check_fields();
    for (const auto& expected : both.cpu.meshes())
      CHECK(*meshes.at(expected.region) == *expected.surface);
  }
}

TEST_CASE("requests of one region take effect in the order they were made") {
  keyframes k(2);
  INFO("seed " << k.seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    const auto map = map_of(256);
    const auto fields = device.open(map, small_pool());
    const auto first = parts_of(map, k.scans[0]).front();
    world reference(map);
    reference.field->integrate(first.region, std::span(&first.job, 1));
    const auto one = reference.field->stats(first.region).hash;
    reference.field->integrate(first.region, std::span(&first.job, 1));
    const auto two = reference.field->stats(first.region).hash;

    held_device hold(*fields);
    std::vector<map_hash> seen;
    std::latch done(5);
    const auto note = [&](const field_stats& s, const std::exception_ptr&) {
      seen.push_back(s.hash);
      done.count_down();
    };
    const auto ignore = [](const std::exception_ptr&) {};
    fields->stats(first.region, note);
    fields->integrate(first.region, {first.job}, ignore);
    fields->stats(first.region, note);
    fields->integrate(first.region, {first.job}, ignore);
    fields->stats(first.region, note);
    fields->drop(first.region, ignore);
    fields->stats(first.region, note);
    fields->integrate(first.region, {first.job}, ignore);
    fields->stats(first.region, note);
    hold.let_go();
    done.wait();
    CHECK(seen == std::vector<map_hash>{{}, one, two, {}, one});
  }
}

TEST_CASE("of a batch that does not fit as a whole, what fits is done, and the rest is refused by region") {
  keyframes k(3);
  INFO("seed " << k.seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    const auto map = map_of(32);
    two_worlds both(device, map, small_pool(100));
    held_device hold(*both.fields);
    std::mutex mutex;
    std::vector<part_of_scan> accepted;
    size_t refused = 0, answers = 0;
    size_t requests = 0;
    for (const auto& s : k.scans)
      for (auto& p : parts_of(map, s)) {
        ++requests;
        both.fields->integrate(p.region, {p.job}, [&, p](const std::exception_ptr& failure) {
          const std::scoped_lock lock(mutex);
          ++answers;
          if (!failure) {
            accepted.push_back(p);
            return;
          }
          ++refused;
          CHECK_THROWS_AS(std::rethrow_exception(failure), std::bad_alloc);
        });
      }
    hold.let_go();
    (void)both.device.field->stats({0, 0, 0});
    CHECK(answers == requests);
    CHECK(refused > 0);
    CHECK(accepted.size() > 0);
    for (const auto& p : accepted) {
      both.cpu.field->integrate(p.region, std::span(&p.job, 1));
      both.cpu.regions.insert(p.region);
      both.device.regions.insert(p.region);
    }
    both.check_fields();
    both.check_meshes();
  }
}

TEST_CASE("a job that asks for rays which its batch does not have is refused, and the device goes on") {
  keyframes k(1);
  for (const auto& device : devices()) {
    INFO(device.name);
    two_worlds both(device, map_of(64), small_pool());
    auto job = parts_of(map_of(64), k.scans[0]).front().job;
    job.first = 10;
    job.count = UINT32_MAX - 5;
    CHECK_THROWS_AS(both.device.field->integrate({0, 0, 0}, std::span(&job, 1)), std::invalid_argument);
    both.add(k.scans[0]);
    both.check_fields();
  }
}

TEST_CASE("a device that fails says so to everyone who asks from then on, and closes", "[emulated]") {
  keyframes k(1);
  emulated_device::options how;
  const auto fields = open_emulated(map_of(64), small_pool(), how);
  const auto field = cuda::make_waiting_backend(fields);
  const auto part = parts_of(map_of(64), k.scans[0]).front();
  field->integrate(part.region, std::span(&part.job, 1));
  *how.broken = true;
  CHECK_THROWS_WITH(field->integrate(part.region, std::span(&part.job, 1)), "the emulated device is broken");
  *how.broken = false; // the field is lost all the same
  CHECK_THROWS_AS(field->stats(part.region), std::runtime_error);
  CHECK_THROWS_AS(field->extract(part.region), std::runtime_error);
}

TEST_CASE("a device that is broken on purpose fails in all that it does, and closes", "[emulated]") {
  keyframes k(1);
  auto options = small_pool();
  options.ray_lanes = 2;
  const auto fields = open_emulated(map_of(64), options);
  const auto field = cuda::make_waiting_backend(fields);
  const auto part = parts_of(map_of(64), k.scans[0]).front();
  const auto frame = random_keyframe(k.random);
  ray_counts counts;
  field->integrate(part.region, std::span(&part.job, 1));
  CHECK(!rays_of(*fields, frame.body, frame.world_from_camera, counts).empty());
  fields->break_down();
  for (int again = 0; again < 3; ++again) {
    for (int lane = 0; lane < 4; ++lane)
      CHECK_THROWS_AS(rays_of(*fields, frame.body, frame.world_from_camera, counts), std::runtime_error);
    CHECK_THROWS_AS(field->integrate(part.region, std::span(&part.job, 1)), std::runtime_error);
    CHECK_THROWS_AS(field->extract(part.region), std::runtime_error);
    CHECK_THROWS_AS(field->stats(part.region), std::runtime_error);
    CHECK_THROWS_AS(field->drop(part.region), std::runtime_error);
    CHECK_THROWS_AS(fields->break_down(), std::runtime_error);
  }
  std::promise<bool> fused;
  fields->fuse(frame.body, frame.world_from_camera, {.mesh = true},
               [&](const cuda::fuse_report&, const std::exception_ptr& failure) { fused.set_value(failure == nullptr); });
  CHECK(!fused.get_future().get());
  CHECK(fields->memory().blocks == 4096);
}

TEST_CASE("requests that wait while a device is closed are answered") {
  for (const auto& device : devices()) {
    INFO(device.name);
    auto fields = device.open(map_of(64), small_pool());
    std::atomic<int> answers{0};
    for (int i = 0; i < 100; ++i)
      fields->stats({i, 0, 0}, [&](const field_stats&, const std::exception_ptr&) { ++answers; });
    for (int i = 0; i < 100; ++i)
      fields->rays(std::make_shared<owned_keyframe_body>(), {},
                   [&](const std::vector<ray>&, const ray_counts&, const std::exception_ptr&) { ++answers; });
    fields.reset();
    CHECK(answers == 200);
  }
}

TEST_CASE("in steady state a device allocates nothing", "[emulated]") {
  keyframes k(3);
  INFO("seed " << k.seed);
  const emulated_device::options how;
  const device_under_test counting{"emulated, counting",
                                   [&](const mapping& map, const cuda::field_options& o) { return open_emulated(map, o, how); }};
  two_worlds both(counting, map_of(32), small_pool(120, 1 << 28)); // blocks move all the time
  both.at_once = false;
  ray_counts counts;
  const auto frame = random_keyframe(k.random);
  int after_first = 0;
  for (int round = 0; round < 4; ++round) {
    (void)rays_of(*both.fields, frame.body, frame.world_from_camera, counts);
    for (const auto& s : k.scans)
      both.add(s);
    both.check_meshes();
    for (const auto& s : k.scans)
      both.add(s, -1);
    both.check_meshes();
    both.check_fields();
    if (round == 0)
      after_first = *how.allocations;
  }
  CHECK(both.fields->memory().moves_out > 10);
  CHECK(*how.allocations == after_first);
}

TEST_CASE("many callers at once, each with regions of its own, get what one would") {
  keyframes k(6);
  INFO("seed " << k.seed);
  for (const auto& device : devices()) {
    INFO(device.name);
    const auto map = map_of(32);
    two_worlds both(device, map, small_pool(160, 1 << 30));
    std::map<region_key, std::vector<ray_job>> jobs;
    for (const auto& s : k.scans) {
      both.cpu.add(s);
      for (auto& p : parts_of(map, s))
        jobs[p.region].push_back(p.job);
    }
    both.device.regions = both.cpu.regions;
    std::vector<std::jthread> callers;
    for (size_t t = 0; t < 4; ++t)
      callers.emplace_back([&, t] {
        size_t i = 0;
        for (const auto& [region, list] : jobs)
          if (i++ % 4 == t)
            for (const ray_job& job : list) {
              both.device.field->integrate(region, std::span(&job, 1));
              (void)both.device.field->extract(region);
            }
      });
    callers.clear();
    both.check_fields();
    both.check_meshes();
  }
}

TEST_CASE("the host touches no memory of the device", "[emulated]") {
  keyframes k(2);
  const device_under_test guarded{"emulated, guarded", [](const mapping& map, const cuda::field_options& o) {
                                    return open_emulated(map, o, {.threads = 2, .guarded = true});
                                  }};
  two_worlds both(guarded, map_of(32), small_pool(120, 1 << 28));
  ray_counts counts;
  const auto frame = random_keyframe(k.random);
  CHECK(!rays_of(*both.fields, frame.body, frame.world_from_camera, counts).empty());
  for (const auto& s : k.scans)
    both.add(s);
  both.check_meshes();
  both.check_fields();
  CHECK(both.fields->memory().moves_in > 0);
}
