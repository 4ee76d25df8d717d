#pragma once
// A service on the toy field, either under CAF's test scheduler (every step is the test's) or with real threads.

#include "actors/supervision/service.hpp"
#include "actors/supervision/supervisor.hpp"
#include "tests/support/script_actor.hpp"
#include "toy_field.hpp"

#include <caf/scheduler/test_coordinator.hpp>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <random>

namespace tessera::toy {

struct deterministic_config : caf::actor_system_config {
  deterministic_config() {
    register_messages(*this);
    set("scheduler.policy", caf::atom("testing"));
  }
};

struct threaded_config : caf::actor_system_config {
  explicit threaded_config(size_t threads = 4) {
    register_messages(*this);
    set("scheduler.max-threads", threads);
    set("scheduler.policy", caf::atom("sharing")); // as `tessera serve` has it
  }
};

/// The frame is the region's version and counts: enough to tell patches apart.
inline patch encode(const region_mesh& surface, uint64_t keyframe_ns, uint64_t received_ns) {
  patch out;
  out.region = surface.region;
  out.version = surface.version;
  out.keyframe_ns = keyframe_ns;
  out.received_ns = received_ns;
  out.vertices = static_cast<uint32_t>(surface.surface->vertices());
  out.triangles = static_cast<uint32_t>(surface.surface->triangles());
  out.frame = std::make_shared<const std::vector<std::byte>>(56 + surface.surface->triangles() * 2);
  return out;
}

inline map_settings small_map() {
  map_settings map;
  map.voxel_m = 1;
  map.truncation_m = 2;
  map.region_voxels = 16;
  return map;
}

inline service_config config_for(const std::shared_ptr<control>& by) {
  service_config out;
  out.map = small_map();
  out.encode = encode;
  out.epoch = "test";
  out.threads = 2;
  out.own_threads = false;
  out.unwanted_interval = std::chrono::milliseconds{0};
  out.make_cpu = [by](const map_settings& map, const cpu_options&) { return std::make_shared<field>(map, by); };
  if (std::getenv("TOY_LOG"))
    out.log = [](severity, const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); };
  return out;
}

/// Points on a few lattice places, so that keyframes overlap.
inline keyframe random_frame(std::mt19937& random, const std::string& id, size_t points = 40) {
  auto body = std::make_shared<owned_keyframe_body>();
  std::uniform_int_distribution<int> place{-40, 40};
  keyframe out;
  out.id.value = id;
  out.timestamp_ns = random();
  out.received_ns = 1 + random();
  for (size_t axis = 0; axis < 3; ++axis)
    out.world_from_camera.m[4 * axis + 3] = static_cast<float>(place(random));
  for (size_t i = 0; i < points * 3; ++i)
    body->point_data.push_back(static_cast<float>(place(random)));
  body->colour_data.resize(points * 3);
  out.body = std::move(body);
  return out;
}

inline std::vector<keyframe> random_frames(unsigned seed, size_t count) {
  std::mt19937 random{seed};
  std::vector<keyframe> out;
  for (size_t i = 0; i < count; ++i)
    out.push_back(random_frame(random, "kf" + std::to_string(i)));
  return out;
}

/// A service whose every step the test takes: run() works off all messages and encodes what waits, tick() lets time pass.
class stepped_service {
public:
  stepped_service(const service_config& how, std::shared_ptr<control> steered)
    : by{std::move(steered)}, running{start_service(system, how)} {
    run();
  }
  ~stepped_service() {
    caf::anon_send_exit(running.supervisor.get(), caf::exit_reason::user_shutdown);
    run();
    for (const auto& a : running.actors())
      caf::anon_send_exit(a, caf::exit_reason::user_shutdown);
    running.forget();
    run();
  }

  caf::scheduler::test_coordinator& scheduler() { return dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler()); }
  void run() {
    do
      scheduler().run();
    while (running.encoders->work());
  }
  /// Runs some steps, in a random order of actors; surfaces are encoded at random, too.
  void run_some(std::mt19937& random, size_t steps) {
    auto& s = scheduler();
    for (size_t i = 0; i < steps && s.has_job(); ++i) {
      std::uniform_int_distribution<size_t> pick{0, s.jobs.size() - 1};
      std::swap(s.jobs.front(), s.jobs[pick(random)]);
      s.run_once();
      if (random() % 8 == 0)
        running.encoders->work();
    }
  }
  void tick(std::chrono::milliseconds by_ms) {
    scheduler().advance_time(by_ms);
    run();
  }

  /// What is asked first is sent first.
  template <class R, class Handle, class... Ts>
  std::shared_ptr<std::optional<R>> ask(const Handle& whom, Ts... xs) {
    auto out = std::make_shared<std::optional<R>>();
    system.spawn<script_actor>([out, whom, xs...](caf::event_based_actor* self) {
      self->request(whom, std::chrono::minutes{60}, xs...)
        .then([out](R& answer) { *out = std::move(answer); }, [](caf::error&) {});
      return caf::behavior{};
    });
    auto& jobs = scheduler().jobs;
    std::rotate(jobs.begin(), jobs.end() - 1, jobs.end()); // the asker is the newest
    scheduler().run_once();
    return out;
  }

  std::shared_ptr<std::optional<verdict>> put(const map_input& what) {
    return ask<verdict>(running.ingest.get(), ingest_atom::value, what);
  }

  /// Kills the actor of a role, as a drill does.
  void kill(const std::string& role) {
    caf::anon_send(caf::actor_cast<supervisor_setup>(running.supervisor.get()), kill_atom::value, role);
  }

  /// The map's state after everything so far. Time passes, so that what is tried again is.
  map_status status() {
    auto answer = ask<map_status>(running.partitioner.get(), status_atom::value);
    run();
    for (int i = 0; i < 100 && !*answer; ++i)
      tick(std::chrono::milliseconds{250});
    if (!*answer)
      throw std::runtime_error("the partitioner did not answer");
    return **answer;
  }

  deterministic_config config;
  caf::actor_system system{config};
  std::shared_ptr<control> by;
  service running;
};

} // namespace tessera::toy
