// Finding a place for a region's mesher when what should answer does not: nothing is forgotten, and nothing goes round for ever.

#include "actors/store/spilling_store.hpp"
#include "actors/viewers/broadcaster.hpp"
#include "toy_gpu.hpp"
#include "wanted_map.hpp"
#include "watched_service.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;
using namespace std::chrono_literals;

namespace {

/// A placement that never answers.
class silent_placement final : public placement_setup::base {
public:
  explicit silent_placement(caf::actor_config& cfg) : placement_setup::base(cfg) {}
  void on_exit() override { asked_.clear(); }
  behavior_type make_behavior() override {
    return {
      [this](place_atom, region_key) {
        asked_.push_back(make_response_promise<promise>());
        return asked_.back();
      },
      [](caf::put_atom, const device_table&) {},
    };
  }

private:
  using promise = caf::typed_response_promise<device_id, device_actor>;
  std::vector<promise> asked_;
};

/// A supervisor that starts no mesher, and counts those that it is told to end.
class idle_supervisor final : public mesher_keeper::base {
public:
  idle_supervisor(caf::actor_config& cfg, std::shared_ptr<int> ended) : mesher_keeper::base(cfg), ended_{std::move(ended)} {}
  void on_exit() override { asked_.clear(); }
  behavior_type make_behavior() override {
    return {
      [this](place_atom, region_key) {
        asked_.push_back(make_response_promise<caf::typed_response_promise<mesher_actor>>());
        return asked_.back();
      },
      [](kill_atom, region_key) { return false; },
      [this](leave_atom, region_key, const mesher_actor&) { ++*ended_; },
    };
  }

private:
  std::vector<caf::typed_response_promise<mesher_actor>> asked_;
  std::shared_ptr<int> ended_;
};

} // namespace

TEST_CASE("a mesher that is owed a region is placed also if placement did not answer in time") {
  const auto gpus = toy_gpus(2);
  auto by = std::make_shared<control>();
  auto config = config_on(gpus, by);
  config.request_timeout = 1s;
  stepped_service s{config, by};
  const auto frames = random_frames(1, 4);
  for (const auto& f : frames)
    s.put(f);
  s.run();
  const auto seen = wanted(s);
  const auto placement = s.running.placement.get();
  const auto silent = s.system.spawn<silent_placement>();
  s.running.placement = caf::actor_cast<placement_actor>(silent);
  gpus[0]->by->broken = true;
  s.ask<map_status>(s.running.partitioner.get(), status_atom::value); // finds out
  s.run();
  s.tick(1100ms);
  s.running.placement = placement;
  caf::anon_send(caf::actor_cast<placement_setup>(placement), caf::put_atom::value, s.running.devices.get());
  s.tick(1s);
  s.tick(1s);
  CHECK(shown(s) == seen);
  for (const auto& [region, triangles] : seen) {
    const auto killed = s.ask<bool>(s.running.supervisor.get(), kill_atom::value, region);
    s.run();
    CHECK(*killed == true); // there was one
  }
  CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), frames)));
  CHECK(shown(s) == seen);
  caf::anon_send_exit(silent, caf::exit_reason::user_shutdown);
  s.run();
}

TEST_CASE("when no device is left and none can be started, nothing goes round in search of one") {
  const auto gpus = toy_gpus(1);
  auto by = std::make_shared<control>();
  auto config = config_on(gpus, by);
  config.make_cpu = [](const map_settings&, const cpu_options&) -> std::shared_ptr<async_fields> {
    throw std::runtime_error("there is no CPU");
  };
  std::vector<std::string> reasons;
  config.on_lost = [&](const std::string& why) { reasons.push_back(why); };
  stepped_service s{config, by};
  const auto frames = random_frames(2, 2);
  s.put(frames[0]);
  s.run();
  gpus[0]->by->broken = true;
  s.put(frames[1]);
  s.run();
  REQUIRE(reasons.size() == 1);
  CHECK_THAT(reasons[0], Catch::Contains("there is no CPU"));
  for (const auto& region : regions_of(frames[0]))
    s.ask<bool>(s.running.supervisor.get(), kill_atom::value, region);
  std::mt19937 random{2};
  s.run_some(random, 20'000);
  CHECK_FALSE(s.scheduler().has_job());
}

TEST_CASE("a region that ended stays ended when its mesher's first request fails late") {
  deterministic_config config;
  caf::actor_system system{config};
  auto& clock = dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());
  actor_context context;
  const auto ended = std::make_shared<int>(0);
  const auto supervisor = system.spawn<idle_supervisor>(ended);
  const auto broadcaster = spawn_broadcaster(system, context, {"test", encode});
  spilling_options in_memory;
  in_memory.cap_bytes = 1 << 20;
  in_memory.own_thread = false;
  const auto store = std::make_shared<spilling_store>(in_memory);
  const auto fields = std::make_shared<toy::field>(small_map(), std::make_shared<control>());
  partitioner_config how;
  how.map = small_map();
  how.devices = {{{device_id{0}, spawn_device(system, context, device_id{0}, small_map(), fields), 0}}, 1, 0};
  how.own_thread = false;
  const auto partitioner = spawn_partitioner(system, context, supervisor, broadcaster, store, how);
  const auto mesher = system.spawn<script_actor>([](caf::event_based_actor*) {
    return caf::behavior{[](dirty_atom, uint64_t, uint64_t, uint64_t) {}, [](refill_atom, bool) {}};
  });
  std::mt19937 random{3};
  const auto frame = random_frame(random, "kf", 1);
  const auto regions = regions_of(frame);
  caf::anon_send(partitioner, ingest_atom::value, map_input{frame});
  clock.run();
  for (const auto& region : regions) // a successor of which nobody saw the predecessor
    caf::anon_send(partitioner, refill_atom::value, region, caf::actor_cast<mesher_actor>(mesher));
  caf::anon_send(partitioner, ingest_atom::value, map_input{retraction{frame.id}});
  clock.run();
  clock.advance_time(how.idle_after);
  clock.run();
  CHECK(*ended == static_cast<int>(regions.size()));
  clock.advance_time(how.request_timeout);
  clock.run();
  std::optional<size_t> left;
  system.spawn<script_actor>([&left, partitioner](caf::event_based_actor* self) {
    self->request(partitioner, std::chrono::minutes{60}, list_atom::value)
      .then([&left](const std::vector<region_status>& all) { left = all.size(); }, [](const caf::error&) {});
    return caf::behavior{};
  });
  clock.run();
  CHECK(left == 0);
  for (const auto& actor :
       {strong(partitioner), strong(supervisor), strong(broadcaster), strong(mesher), strong(how.devices.devices[0].handle)})
    caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
  clock.run();
}
