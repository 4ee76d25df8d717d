// What every actor tells of itself.

#include "actors/base/instrumented.hpp"
#include "toy_service.hpp"

#include <catch2/catch.hpp>

#include <thread>

using namespace tessera;
using namespace tessera::toy;

namespace {

using probe_actor
  = caf::typed_actor<caf::replies_to<caf::get_atom, int>::with<int>, caf::reacts_to<caf::put_atom>, caf::reacts_to<view>>;

class probe final : public instrumented<probe_actor> {
public:
  probe(caf::actor_config& cfg, actor_context context, on_throw policy)
    : instrumented(cfg, std::move(context), {"probe", {}, {}, policy}) {}
  behavior_type make_behavior() override {
    return {
      [](caf::get_atom, int x) {
        if (x < 0)
          throw std::runtime_error("negative");
        return x + 1;
      },
      [](caf::put_atom) {},
      [](const view&) {},
    };
  }
};

struct fixture {
  deterministic_config config;
  caf::actor_system system{config};
  actor_context context;
  caf::scheduler::test_coordinator& scheduler = dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());

  actor_status status() {
    for (auto& s : context.registry->statuses())
      if (s.role == "probe")
        return s;
    return {};
  }
  uint64_t handled(const std::string& message) {
    for (const auto& h : status().handlers)
      if (h.message == message)
        return h.handled;
    return 0;
  }
};

} // namespace

TEST_CASE("messages are counted by type and the mailbox's depth is told") {
  fixture f;
  auto p = f.system.spawn<probe>(f.context, on_throw::go_on);
  for (int i = 0; i < 5; ++i)
    caf::anon_send(p, caf::put_atom::value);
  caf::anon_send(p, view{});
  CHECK(f.status().mailbox == 6);
  CHECK(f.status().handlers.empty());
  CHECK(f.status().state == "idle");
  CHECK(f.status().id == p.id());
  f.scheduler.run();
  CHECK(f.status().mailbox == 0);
  CHECK(f.handled("put") == 5);
  CHECK(f.handled("tessera::view") == 1);
  CHECK(f.status().handlers[0].total_s > 0);
  CHECK(f.status().handlers[0].p50_s <= f.status().handlers[0].p99_s);
  caf::anon_send_exit(p, caf::exit_reason::user_shutdown);
  f.scheduler.run();
  CHECK(f.status().state == "down");
  p = nullptr;
  CHECK(f.context.registry->statuses().empty());
}

TEST_CASE("a handler that throws is counted and answered with an error, and the actor goes on or dies as it should") {
  for (auto policy : {on_throw::go_on, on_throw::die}) {
    fixture f;
    auto p = f.system.spawn<probe>(f.context, policy);
    std::vector<std::string> answers;
    f.system.spawn<script_actor>([&](caf::event_based_actor* self) {
      for (int x : {1, -1, 2})
        self->request(p, std::chrono::seconds{120}, caf::get_atom::value, x)
          .then([&](int y) { answers.push_back(std::to_string(y)); }, [&](caf::error& err) { answers.push_back(describe(err)); });
      return caf::behavior{};
    });
    f.scheduler.run();
    REQUIRE(answers.size() == 3);
    CHECK(f.context.numbers->handler_errors == 1);
    CHECK_THAT(f.status().last_error, Catch::Contains("negative"));
    if (policy == on_throw::go_on) {
      CHECK(answers == std::vector<std::string>{"2", "internal error: negative", "3"});
      CHECK(f.status().state == "idle");
      CHECK(f.handled("get") == 3);
    } else {
      CHECK(answers[0] == "2");
      CHECK(answers[2] != "3");
      CHECK(f.status().state == "down");
    }
  }
}

TEST_CASE("the inspector lists every actor of the service with what it did") {
  auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  for (const auto& f : random_frames(1, 5))
    s.put(f);
  s.run();
  const auto regions = s.status().regions;
  auto answer = s.ask<std::vector<actor_status>>(s.running.inspector.get(), status_atom::value);
  s.run();
  std::map<std::string, size_t> roles;
  for (const auto& a : **answer) {
    ++roles[a.role];
    CHECK(a.mailbox == 0);
    CHECK(a.id != 0);
    CHECK(a.last_error.empty());
    if (a.role == "mesher") {
      CHECK(a.region);
      CHECK(a.device);
    }
  }
  for (const auto* role : {"ingest", "partitioner", "placement", "supervisor", "broadcaster", "inspector", "device"})
    CHECK(roles[role] == 1);
  CHECK(roles["mesher"] >= regions);
  for (const auto& a : **answer)
    if (a.role == "ingest")
      for (const auto& h : a.handlers)
        if (h.message == "ingest")
          CHECK(h.handled == 5);
}

TEST_CASE("a restarted mesher tells how often it was") {
  auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  const auto frames = random_frames(1, 2);
  for (const auto& f : frames)
    s.put(f);
  s.run();
  const auto region
    = region_of(cell_of(make(small_map(), *frames[0].body, frames[0].world_from_camera, *std::make_unique<ray_counts>())[0],
                        frames[0].world_from_camera),
                edge_units(small_map()));
  for (int i = 0; i < 3; ++i) {
    auto killed = s.ask<bool>(s.running.supervisor.get(), kill_atom::value, region);
    s.run();
    CHECK(killed->value());
  }
  auto nobody = s.ask<bool>(s.running.supervisor.get(), kill_atom::value, region_key{99, 99, 99});
  s.run();
  CHECK_FALSE(nobody->value());
  uint64_t restarts = 0;
  for (const auto& a : s.running.context.registry->statuses())
    if (a.region == region)
      restarts = a.restarts;
  CHECK(restarts == 3);
  CHECK(s.running.context.numbers->restarts == 3);
}

TEST_CASE("a cycle clock's durations are those of the steady clock") {
  // The steady clock is read on both sides of each look at the other, so that it does not matter who is interrupted where.
  const auto outer0 = std::chrono::steady_clock::now();
  const auto t0 = cycle_clock::ticks();
  const auto inner0 = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(std::chrono::milliseconds{30});
  const auto inner1 = std::chrono::steady_clock::now();
  const auto t1 = cycle_clock::ticks();
  const auto outer1 = std::chrono::steady_clock::now();
  const auto ns = [](auto duration) { return std::chrono::duration<double, std::nano>(duration).count(); };
  const auto told = static_cast<double>(cycle_clock::to_ns(t1 - t0));
  CHECK(told >= 0.99 * ns(inner1 - inner0));
  CHECK(told <= 1.01 * ns(outer1 - outer0));
}
