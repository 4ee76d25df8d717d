// A watchdog sees who has work and does not get on with it, and nobody else.

#include "eager_viewer.hpp"
#include "faulty_disk.hpp"
#include "journal_folder.hpp"
#include "toy_gpu.hpp"
#include "watched_service.hpp"

#include <catch2/catch.hpp>

#include <thread>

using namespace tessera;
using namespace tessera::toy;
using namespace std::chrono_literals;

namespace {

/// A watchdog without a thread, and what it tells.
struct watched {
  actor_context context;
  std::vector<std::string> lines;
  watchdog::clock::time_point now{};
  std::unique_ptr<watchdog> dog;

  explicit watched(std::shared_ptr<keyframe_store> store = nullptr, actor_context of = {}) : context{std::move(of)} {
    context.log = [this](severity, const std::string& text) { lines.push_back(text); };
    dog = std::make_unique<watchdog>(context, std::move(store), 10s, false);
    dog->look(now);
  }
  /// Lets time pass, in steps in which the watchdog looks.
  void pass(std::chrono::seconds how_long) {
    for (auto i = 0s; i < how_long; ++i)
      dog->look(now += 1s);
  }
  [[nodiscard]] std::vector<std::string> stalled() const {
    std::vector<std::string> out;
    for (const auto& one : context.numbers->stalls.current())
      out.push_back(one.who);
    return out;
  }
};

using names = std::vector<std::string>;

template <class Condition>
bool eventually(Condition holds) {
  for (int i = 0; i < 6000 && !holds(); ++i)
    std::this_thread::sleep_for(5ms);
  return holds();
}

} // namespace

TEST_CASE("who has work and does not advance for the bound is stalled, told of once, and goes on by itself") {
  watched w;
  const auto actor = w.context.registry->enlist("ingest");
  auto& handler = actor->add(1, "take");
  w.pass(100s);
  CHECK(w.stalled().empty()); // nothing to do
  actor->enqueued();
  actor->enqueued();
  w.pass(10s);
  CHECK(w.stalled().empty());
  actor->dequeued();
  actor->begin(&handler);
  w.pass(10s);
  CHECK(w.stalled().empty());
  CHECK(w.lines.empty());
  w.pass(5s);
  CHECK(w.stalled() == names{"ingest"});
  CHECK(w.context.numbers->stalls.total() == 1);
  CHECK(w.context.registry->statuses().front().state == "stalled");
  REQUIRE(w.lines.size() == 1);
  CHECK_THAT(w.lines[0], Catch::Contains("the ingest is stalled") && Catch::Contains("for 10 s")
                           && Catch::Contains("handling take, 1 message waits"));
  w.pass(60s);
  CHECK(w.lines.size() == 1);
  actor->set_busy(false);
  actor->dequeued();
  w.pass(1s);
  CHECK(w.stalled().empty());
  CHECK(w.context.registry->statuses().front().state == "idle");
  CHECK(w.context.numbers->stalls.total() == 1);
  REQUIRE(w.lines.size() == 2);
  CHECK_THAT(w.lines[1], Catch::Contains("the ingest goes on"));
}

TEST_CASE("work that takes long and advances is no stall, nor is one actor's the other's") {
  watched w;
  const auto device = w.context.registry->enlist("device", {}, device_id{1});
  const auto other = w.context.registry->enlist("device", {}, device_id{2});
  device->set_id(1);
  other->set_id(2);
  device->set_pending(100);
  other->set_pending(1);
  for (int i = 0; i < 30; ++i) {
    w.pass(9s);
    device->advance();
    if (i == 0)
      other->set_pending(0);
  }
  CHECK(w.context.numbers->stalls.total() == 0);
  w.pass(12s);
  CHECK(w.stalled() == names{"device 1"});
  CHECK(w.context.numbers->stalls.current().front().doing == "100 requests are not answered");
  device->set_down(); // the supervisor's to mend
  w.pass(1s);
  CHECK(w.stalled().empty());
}

TEST_CASE("time in which nobody looked does not count: the process, or the machine, was stopped") {
  watched w;
  const auto actor = w.context.registry->enlist("ingest");
  actor->enqueued();
  w.pass(9s);
  w.dog->look(w.now += 1h);
  w.pass(1s);
  CHECK(w.stalled().empty());
  w.pass(1s);
  CHECK(w.stalled() == names{"ingest"});
}

TEST_CASE("a GPU that does not answer is seen, and its answer ends it") {
  const auto gpus = toy_gpus(1);
  auto by = std::make_shared<control>();
  stepped_service s{config_on(gpus, by), by};
  watched w{nullptr, s.running.context};
  gpus[0]->holds = true;
  s.put(random_frames(1, 1)[0]);
  s.run();
  w.pass(15s);
  CHECK(w.stalled() == names{"device 0"});
  gpus[0]->holds = false;
  gpus[0]->release();
  s.run();
  w.pass(1s);
  CHECK(w.stalled().empty());
}

TEST_CASE("a disk that is stuck is seen as a store's thread that does not get on, until it does") {
  const auto disk = std::make_shared<faulty_disk>();
  const auto store = disk->make_store(0, true);
  watched w{store};
  w.pass(30s);
  CHECK(w.stalled().empty());
  disk->close();
  auto stored = ask_put(*store, a_frame("a", 10, 1));
  disk->wait_until_stuck();
  w.pass(12s);
  CHECK(w.stalled() == names{"keyframe store"});
  CHECK(w.context.numbers->stalls.current().front().doing == "1 keyframes wait for the disk");
  disk->open();
  CHECK(stored.get());
  CHECK(eventually([&] { return !store->pulses().front().its.works; }));
  w.pass(1s);
  CHECK(w.stalled().empty());
}

TEST_CASE("a journal that has written and read what it was asked has no work left") {
  temporary_folder folder;
  const auto store = open_store(folder / "journal");
  const auto before = store->pulses();
  REQUIRE(before.size() == 2);
  CHECK(put(*store, a_frame("a", 10, 1)));
  CHECK(get(*store, {"a"}));
  CHECK(eventually([&] {
    const auto after = store->pulses();
    return !after[0].its.works && !after[1].its.works && after[0].its.steps > before[0].its.steps
           && after[1].its.steps > before[1].its.steps;
  }));
}

TEST_CASE("with real threads an encoder and a device that are stuck are seen, and that they go on") {
  const auto by = std::make_shared<control>();
  auto how = config_for(by);
  how.own_threads = true;
  how.threads = 1;
  how.stall_after = 200ms;
  std::mutex gate;
  how.encode = [&](const region_mesh& surface, uint64_t keyframe_ns, uint64_t received_ns) {
    const std::lock_guard pass{gate};
    return encode(surface, keyframe_ns, received_ns);
  };
  threaded_config config;
  caf::actor_system system{config};
  auto running = start_service(system, how);
  auto viewer = caf::actor_cast<caf::actor>(system.spawn<eager_viewer>(running.broadcaster.get()));
  const auto& stalls = running.context.numbers->stalls;
  const auto is_stalled = [&](const std::string& who) {
    const auto all = stalls.current();
    return std::any_of(all.begin(), all.end(), [&](const stall& one) { return one.who == who; });
  };
  {
    auto sink = make_ingest_sink(system, running, 8);
    const auto frames = random_frames(4, 2);
    {
      const std::lock_guard closed{gate};
      sink->offer(frames[0], [](const verdict&) {});
      CHECK(eventually([&] { return is_stalled("encoder pool"); }));
    }
    CHECK(eventually([&] { return stalls.count() == 0; }));
    {
      const std::lock_guard lock{by->mutex};
      by->closed = true;
    }
    sink->offer(frames[1], [](const verdict&) {});
    CHECK(eventually([&] { return is_stalled("device 0"); }));
    {
      const std::lock_guard lock{by->mutex};
      by->closed = false;
      by->changed.notify_all();
    }
    CHECK(eventually([&] { return stalls.count() == 0; }));
    CHECK(sink->drain(60s));
    CHECK(running.context.numbers->restarts == 0); // nobody was ended for it
    caf::anon_send_exit(viewer, caf::exit_reason::user_shutdown);
    viewer = nullptr;
  }
  CHECK(stop_service(system, running));
}
