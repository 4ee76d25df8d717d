// The service on emulated GPUs, with real threads and the real field: the map is the CPU's, whatever becomes of the GPUs.

#include "tests/gpu/cuda_emulated.hpp"
#include "tests/gpu/random_map.hpp"
#include "toy_service.hpp"

#include "gpu/cuda/field_queue.hpp"
#include "gpu/map/offline_map.hpp"

#include <catch2/catch.hpp>

#include <set>
#include <thread>

using namespace tessera;
using namespace tessera::toy;
using tessera::test::emulated_device;

namespace {

struct emulated_gpu {
  std::shared_ptr<async_fields> fields;
  /// `broken`: GPUs of a process share it, since a kernel that traps on one takes all of them.
  explicit emulated_gpu(const map_settings& map, uint64_t blocks = 4096, uint64_t host_bytes = 0,
                        std::shared_ptr<std::atomic<bool>> broken = std::make_shared<std::atomic<bool>>(false)) {
    cuda::field_options options;
    options.pool_bytes = blocks * 12'288;
    options.host_bytes = host_bytes;
    options.most_regions = 256;
    options.ray_lanes = 2;
    emulated_device::options how;
    how.threads = 2;
    how.broken = std::move(broken);
    fields = std::make_shared<cuda::field_queue<emulated_device>>(std::make_unique<emulated_device>(how), map, options);
  }
};

map_settings field_map() {
  return test::map_of(32);
}

/// The same walls each time.
std::vector<keyframe> walls(size_t count) {
  std::mt19937 random{7};
  std::vector<keyframe> out;
  for (size_t i = 0; i < count; ++i) {
    const auto at = test::random_pose(random);
    out.push_back(test::wall(at, random, 1500, false));
    out.back().id.value = "wall " + std::to_string(i);
    out.back().timestamp_ns = out.back().received_ns = i + 1;
  }
  return out;
}

/// A service with threads of its own. GPUs are closed after it has ended, and before its actor system goes.
struct live_service {
  explicit live_service(std::vector<emulated_gpu> on) : gpus{std::move(on)} {
    service_config how;
    how.map = field_map();
    how.encode = encode;
    how.epoch = "test";
    how.threads = 2;
    for (const auto& g : gpus)
      how.gpus.push_back(g.fields);
    running = start_service(system, how);
    sink = make_ingest_sink(system, running, 8);
  }
  ~live_service() {
    sink.reset();
    CHECK(stop_service(system, running));
    std::vector<std::shared_ptr<async_fields>> fields;
    for (auto& g : gpus)
      fields.push_back(std::move(g.fields));
    close_together(fields);
  }

  void offer(const keyframe& frame) {
    sink->offer(frame, [this](const verdict& v) {
      accepted += v.what == outcome::accepted;
      refused += v.what == outcome::refused;
      not_now += v.what == outcome::not_now;
    });
  }
  void drain() { REQUIRE(sink->drain(std::chrono::seconds{600})); }

  template <class R, class... Question>
  R ask(Question... question) {
    std::optional<R> out;
    caf::scoped_actor self{system};
    for (int i = 0; i < 12'000 && !out; ++i)
      self->request(running.partitioner.get(), std::chrono::seconds{120}, question...)
        .receive([&](const R& x) { out = x; },
                 [](const caf::error&) { std::this_thread::sleep_for(std::chrono::milliseconds{10}); });
    REQUIRE(out);
    return *out;
  }
  map_status status() { return ask<map_status>(status_atom::value); }
  std::set<uint32_t> devices() {
    std::set<uint32_t> out;
    for (const auto& r : ask<std::vector<region_status>>(list_atom::value))
      out.insert(r.device.value);
    return out;
  }
  [[nodiscard]] const telemetry& numbers() const { return *running.context.numbers; }

  threaded_config config{2};
  caf::actor_system system{config};
  std::vector<emulated_gpu> gpus;
  service running;
  std::unique_ptr<ingest_sink> sink;
  std::atomic<int> accepted{0}, refused{0}, not_now{0};
};

std::vector<emulated_gpu> emulated(size_t count) {
  std::vector<emulated_gpu> out;
  const auto broken = std::make_shared<std::atomic<bool>>(false);
  for (size_t i = 0; i < count; ++i)
    out.emplace_back(field_map(), 4096, 0, broken);
  return out;
}

/// What a service without GPUs makes of them.
map_status on_the_cpu(const std::vector<keyframe>& frames) {
  live_service s{{}};
  for (const auto& f : frames)
    s.offer(f);
  s.drain();
  return s.status();
}

} // namespace

TEST_CASE("a slice of a live map is that of an offline one, on the CPU and on GPUs") {
  const auto frames = walls(6);
  offline_map offline(field_map(), {make_cpu_fields(field_map(), {.threads = 0})}, {});
  for (const auto& f : frames)
    offline.offer(f, [](const verdict&) {});
  offline.finish();
  for (const size_t count : {0u, 1u, 2u}) {
    INFO(count << " GPUs");
    live_service s{emulated(count)};
    for (const auto& f : frames)
      s.offer(f);
    s.drain();
    for (uint8_t axis = 0; axis < 3; ++axis) {
      const field_plane plane{.axis = axis, .layer = -5};
      const auto live = s.ask<field_slice>(slice_atom::value, plane), wanted = offline.slice(plane);
      REQUIRE(!wanted.parts.empty());
      REQUIRE(live.parts.size() == wanted.parts.size());
      CHECK(live.cut >= live.parts.size());
      for (size_t i = 0; i < live.parts.size(); ++i) {
        CHECK(live.parts[i].region == wanted.parts[i].region);
        CHECK(live.parts[i].weights == wanted.parts[i].weights);
        CHECK(live.parts[i].distances == wanted.parts[i].distances);
        CHECK(live.parts[i].colours == wanted.parts[i].colours);
      }
    }
    CHECK(s.ask<field_slice>(slice_atom::value, field_plane{.axis = 2, .layer = 100'000}).cut == 0);
    CHECK(s.ask<field_slice>(slice_atom::value, field_plane{.axis = 9, .layer = 0}).cut == 0); // no such axis
  }
}

TEST_CASE("with one and with two GPUs the map is the CPU's") {
  const auto frames = walls(10);
  const auto truth = on_the_cpu(frames);
  for (const size_t count : {1u, 2u}) {
    INFO(count << " GPUs");
    live_service s{emulated(count)};
    for (const auto& f : frames)
      s.offer(f);
    s.drain();
    CHECK(s.accepted == 10);
    const auto status = s.status();
    CHECK(to_hex(status.field.hash) == to_hex(truth.field.hash));
    CHECK(status.field.blocks == truth.field.blocks);
    CHECK(status.rays == truth.rays);
    CHECK(s.devices().size() == count);
    CHECK(s.numbers().rays_time.count() >= 10); // of one that comes alone each GPU makes the rays
    CHECK(s.numbers().rays_time.count() <= 10 * count);
    for (const auto& d : s.numbers().devices.list())
      CHECK(d.memory->free_blocks < d.memory->blocks);
  }
}

TEST_CASE("GPUs that break while keyframes come lose nothing of the map") {
  const auto frames = walls(16);
  const auto truth = on_the_cpu(frames);
  for (const size_t broken : {1u, 2u}) {
    INFO(broken << " of two GPUs break");
    live_service s{emulated(2)};
    for (size_t i = 0; i < frames.size(); ++i) {
      if (i == 6)
        s.gpus[0].fields->break_down(breakage::refused_launch);
      if (i == 11 && broken == 2)
        s.gpus[1].fields->break_down(breakage::refused_launch);
      s.offer(frames[i]);
    }
    s.drain();
    CHECK(s.accepted == 16);
    CHECK(to_hex(s.status().field.hash) == to_hex(truth.field.hash));
    CHECK(s.devices() == (broken == 1 ? std::set<uint32_t>{1} : std::set<uint32_t>{2}));
    CHECK(s.numbers().device_failures == broken);
    CHECK(s.numbers().devices.names() == (broken == 1 ? "emulated device" : "cpu"));
    CHECK(s.numbers().lost_core == 0);
  }
}

TEST_CASE("a kernel that traps on one of several GPUs takes all of them, and the CPU takes over without a loss") {
  const auto frames = walls(12);
  const auto truth = on_the_cpu(frames);
  const size_t when = GENERATE(6u, 12u); // while keyframes come, and after the last
  INFO("after " << when);
  live_service s{emulated(2)};
  for (size_t i = 0; i < frames.size(); ++i) {
    if (i == when)
      s.gpus[1].fields->break_down(breakage::trap);
    s.offer(frames[i]);
  }
  s.drain();
  if (when == frames.size())
    s.gpus[1].fields->break_down(breakage::trap);
  CHECK(s.accepted == 12);
  CHECK(to_hex(s.status().field.hash) == to_hex(truth.field.hash));
  CHECK(s.devices() == std::set<uint32_t>{2});
  CHECK(s.numbers().device_failures == 2);
  CHECK(s.numbers().devices.names() == "cpu");
  CHECK(s.numbers().lost_core == 0);
}

TEST_CASE("GPUs that break when all keyframes are there are found out by the next who asks, and the map is whole again") {
  const auto frames = walls(8);
  const auto truth = on_the_cpu(frames);
  for (const bool all : {false, true}) {
    INFO((all ? "all GPUs break" : "one of two GPUs breaks"));
    live_service s{emulated(2)};
    for (const auto& f : frames)
      s.offer(f);
    s.drain();
    s.gpus[1].fields->break_down(breakage::refused_launch);
    if (all)
      s.gpus[0].fields->break_down(breakage::refused_launch);
    CHECK(to_hex(s.status().field.hash) == to_hex(truth.field.hash));
    CHECK(s.devices() == (all ? std::set<uint32_t>{2} : std::set<uint32_t>{0}));
    CHECK(s.numbers().device_failures == (all ? 2 : 1));
    CHECK(s.numbers().lost_core == 0);
    // What comes later is taken as if nothing had been.
    for (const auto& f : walls(9))
      s.offer(f);
    s.drain();
    CHECK(s.accepted == 9);
  }
}

TEST_CASE("a GPU with too little memory takes no more keyframes now; with host memory it moves regions out") {
  const auto frames = walls(10);
  const auto truth = on_the_cpu(frames);
  {
    std::vector<emulated_gpu> gpus;
    gpus.emplace_back(field_map(), 600);
    live_service s{std::move(gpus)};
    for (const auto& f : frames)
      s.offer(f);
    s.drain();
    CHECK(s.not_now > 0);
    CHECK(s.not_now + s.accepted == 10);
    CHECK(s.numbers().not_now_by[static_cast<size_t>(hindrance::room)] == static_cast<uint64_t>(s.not_now));
    CHECK(s.numbers().device_failures == 0);
    CHECK(s.status().keyframes == static_cast<uint64_t>(s.accepted));
  }
  std::vector<emulated_gpu> gpus;
  gpus.emplace_back(field_map(), 600, uint64_t{64} << 20);
  live_service s{std::move(gpus)};
  for (const auto& f : frames)
    s.offer(f);
  s.drain();
  CHECK(s.accepted == 10);
  CHECK(to_hex(s.status().field.hash) == to_hex(truth.field.hash));
  const auto memory = s.numbers().devices.list()[0].memory.value();
  CHECK(memory.evictions > 0);
  CHECK(memory.page_ins > 0);
}

TEST_CASE("a keyframe that a GPU's whole pool cannot hold is set aside, and what comes after it is taken") {
  std::vector<emulated_gpu> gpus;
  gpus.emplace_back(field_map(), 40, uint64_t{64} << 20);
  live_service s{std::move(gpus)};
  auto large = walls(1)[0];
  std::mt19937 random{3};
  auto small = test::wall({}, random, 3, false);
  small.id.value = "small";
  for (const auto* each : {&large, &small})
    s.offer(*each);
  s.drain();
  CHECK(s.refused == 1);
  CHECK(s.accepted == 1);
  const auto aside = s.numbers().set_aside.newest();
  REQUIRE(aside.size() == 1);
  CHECK_THAT(aside[0].reason, Catch::Contains("memory-pool"));
}

TEST_CASE("a service that ends while its GPUs are busy leaves nothing waiting") {
  const auto frames = walls(8);
  live_service s{emulated(2)};
  for (const auto& f : frames)
    s.offer(f);
}
