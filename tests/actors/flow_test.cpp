// Credit from the mesher back to the source, and what is refused on the way.

#include "tests/support/torn_body.hpp"
#include "toy_service.hpp"

#include <catch2/catch.hpp>

#include <thread>

using namespace tessera;
using namespace tessera::toy;

namespace {

std::unique_ptr<stepped_service> start(const std::function<void(service_config&)>& change = {}) {
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  if (change)
    change(config);
  return std::make_unique<stepped_service>(std::move(config), by);
}

/// A service with real threads.
struct threaded_service {
  explicit threaded_service(const std::function<void(service_config&)>& change = {}) {
    auto how = config_for(by);
    how.own_threads = true;
    if (change)
      change(how);
    running = start_service(system, how);
  }
  ~threaded_service() {
    set_closed(false);
    stop_service(system, running);
  }
  void set_closed(bool closed) {
    std::lock_guard lock{by->mutex};
    by->closed = closed;
    by->changed.notify_all();
  }
  std::optional<map_status> status() {
    std::optional<map_status> out;
    caf::scoped_actor self{system};
    self->request(running.partitioner.get(), std::chrono::seconds{600}, status_atom::value)
      .receive([&](const map_status& s) { out = s; }, [](const caf::error&) {});
    return out;
  }
  std::shared_ptr<control> by = std::make_shared<control>();
  threaded_config config;
  caf::actor_system system{config};
  service running;
};

} // namespace

TEST_CASE("ingest refuses bad keyframes with a reason, counts them and goes on") {
  auto s = start();
  auto frames = random_frames(1, 3);
  auto bad_pose = frames[0];
  bad_pose.world_from_camera.m[0] = std::numeric_limits<float>::quiet_NaN();
  auto bad_id = frames[1];
  bad_id.id.value = "";
  auto nothing = frames[2];
  auto body = std::make_shared<owned_keyframe_body>();
  body->point_data = {1e7f, 0, 0, NAN, 0, 0};
  body->colour_data.resize(6);
  nothing.body = body;
  auto a = s->put(bad_pose), b = s->put(bad_id), c = s->put(nothing), d = s->put(frames[0]);
  auto e = s->put(revision{frames[0].id, bad_pose.world_from_camera});
  s->run();
  CHECK((*a)->what == outcome::refused);
  CHECK_THAT((*a)->reason, Catch::Contains("pose[0][0] is nan"));
  CHECK((*b)->what == outcome::refused);
  CHECK((*c)->what == outcome::refused);
  CHECK_THAT((*c)->reason, Catch::Contains("2 not finite"));
  CHECK((*d)->what == outcome::accepted);
  CHECK((*e)->what == outcome::refused);
  const auto& n = *s->running.context.numbers;
  CHECK(n.refused == 4);
  CHECK(n.accepted == 1);
  CHECK(n.refused_by[static_cast<size_t>(refusal::pose)] == 2);
  CHECK(n.refused_by[static_cast<size_t>(refusal::empty)] == 1);
  CHECK(n.set_aside.total() == 4);
  CHECK(s->status().field.hash == truth(small_map(), {frames[0]}));
}

TEST_CASE("points that changed while they were read are not taken, leave no trace, and are not set aside") {
  auto s = start();
  keyframe frame;
  frame.id.value = "torn";
  frame.body = std::make_shared<test::torn_body>(random_frames(2, 1)[0].body);
  auto v = s->put(frame);
  s->run();
  CHECK((*v)->what == outcome::not_now);
  CHECK_THAT((*v)->reason, Catch::Contains("the segment shrank"));
  CHECK(s->status().keyframes == 0);
  const auto& n = *s->running.context.numbers;
  CHECK(n.not_now_by[static_cast<size_t>(hindrance::torn)] == 1);
  CHECK(n.refused == 0);
  CHECK(n.set_aside.total() == 0);
  CHECK_FALSE(n.shortage.current()); // nothing is short
}

TEST_CASE("a keyframe's points are let go as soon as its rays are made") {
  auto s = start();
  auto frames = random_frames(1, 1);
  std::weak_ptr<const keyframe_body> alive = frames[0].body;
  auto v = s->put(frames[0]);
  frames.clear();
  s->run();
  CHECK((*v)->what == outcome::accepted);
  CHECK(alive.expired());
}

TEST_CASE("with the policy newest the oldest waiting keyframes are dropped and counted, retractions never") {
  auto s = start([](service_config& c) {
    c.policy = input_policy::newest;
    c.credit = 2;
  });
  const auto frames = random_frames(2, 10);
  std::vector<std::shared_ptr<std::optional<verdict>>> v;
  for (const auto& f : frames)
    v.push_back(s->put(f));
  // All askers and ingest run before the partitioner does anything.
  s->run();
  int accepted = 0, dropped = 0;
  for (const auto& x : v) {
    REQUIRE(x->has_value());
    accepted += (*x)->what == outcome::accepted;
    dropped += (*x)->what == outcome::dropped;
  }
  CHECK(accepted + dropped == 10);
  CHECK(dropped > 0);
  CHECK((*v.back())->what == outcome::accepted);
  CHECK(s->running.context.numbers->dropped == static_cast<uint64_t>(dropped));
}

TEST_CASE("ten identity poses and no other are warned about") {
  std::vector<std::string> log;
  auto s = start([&](service_config& c) { c.log = [&](severity, const std::string& text) { log.push_back(text); }; });
  std::mt19937 random{1};
  for (int i = 0; i < 12; ++i) {
    auto f = random_frame(random, std::to_string(i));
    f.world_from_camera = {};
    s->put(f);
  }
  s->run();
  CHECK(s->running.context.numbers->identity_poses == 12);
  CHECK(std::count_if(log.begin(), log.end(), [](const auto& t) { return t.find("identity") != std::string::npos; }) == 1);
}

TEST_CASE("what cannot be made a keyframe is counted by its source, and logged as what is refused is") {
  std::vector<std::string> log;
  auto s = start([&](service_config& c) { c.log = [&](severity, const std::string& text) { log.push_back(text); }; });
  auto bad = random_frames(3, 1)[0];
  bad.id.value = "kf 7";
  bad.world_from_camera.m[5] = std::numeric_limits<float>::infinity();
  s->put(bad);
  s->run();
  REQUIRE(log.size() == 1);
  CHECK_THAT(log[0], Catch::Contains("kf 7") && Catch::Contains("pose[1][1] is inf, not finite"));
  caf::anon_send(s->running.ingest.get(), aside_atom::value, std::string{"amqp"}, std::string{"message 5"},
                 std::string{"not msgpack"});
  s->run();
  CHECK(s->running.context.numbers->set_aside.by_source().at("amqp") == 1);
  CHECK(s->running.context.numbers->set_aside.newest().front().reason == "not msgpack");
  CHECK(log.back() == "amqp: message 5 set aside: not msgpack");
}

TEST_CASE("a blocked device stops the source after its credit, and nothing is lost when it goes on") {
  threaded_service s{[](service_config& c) { c.credit = 3; }};
  auto sink = make_ingest_sink(s.system, s.running, 3);
  s.set_closed(true);
  const auto frames = random_frames(3, 12);
  std::atomic<int> offered{0}, answered{0};
  std::thread source{[&] {
    for (const auto& f : frames) {
      sink->offer(f, [&](const verdict& v) { answered += v.what == outcome::accepted; });
      ++offered;
    }
  }};
  // The third offer returns, the fourth must not. Waiting longer could only make a wrong sink fail more surely.
  while (offered < 3)
    std::this_thread::yield();
  std::this_thread::sleep_for(std::chrono::milliseconds{50});
  CHECK(offered == 3);
  CHECK(answered == 0);
  s.set_closed(false);
  source.join();
  CHECK(sink->drain(std::chrono::seconds{600}));
  CHECK(answered == 12);
  CHECK(s.status()->field.hash == truth(small_map(), frames));
}

TEST_CASE("closing the sink frees a source that waits, and every completion is called once") {
  threaded_service s{[](service_config& c) { c.credit = 2; }};
  const auto frames = random_frames(4, 6);
  std::array<std::atomic<int>, 6> calls{};
  std::atomic<int> refused{0};
  {
    auto sink = make_ingest_sink(s.system, s.running, 2);
    s.set_closed(true);
    std::atomic<size_t> begun{0};
    std::thread source{[&] {
      for (size_t i = 0; i < frames.size(); ++i) {
        ++begun;
        sink->offer(frames[i], [&, i](const verdict& v) {
          ++calls[i];
          refused += v.what == outcome::refused;
        });
      }
    }};
    while (begun < 3) // the third has no credit
      std::this_thread::yield();
    sink->close();
    source.join();
    CHECK(calls[5] == 1); // answered at once
  }
  for (const auto& c : calls)
    CHECK(c == 1);
  CHECK(refused == 0); // they stay with their senders
  CHECK(s.running.context.numbers->not_now_by[static_cast<size_t>(hindrance::closing)] > 0);
}

TEST_CASE("what is offered while the service ends is answered, too") {
  auto s = start();
  auto sink = make_ingest_sink(s->system, s->running, 4);
  s->run();
  caf::anon_send_exit(s->running.supervisor.get(), caf::exit_reason::user_shutdown);
  s->run();
  caf::anon_send_exit(s->running.ingest.get(), caf::exit_reason::user_shutdown);
  s->scheduler().run_once(); // ingest ends; the sink's relay has been told, and has not looked yet
  int calls = 0;
  for (const auto& f : random_frames(7, 3))
    sink->offer(f, [&](const verdict& v) {
      ++calls;
      CHECK(v.what == outcome::not_now);
    });
  s->run();
  CHECK(calls == 3);
  CHECK(sink->drain(std::chrono::seconds{0}));
}

TEST_CASE("stopping the service answers what is under way and ends every actor") {
  threaded_service s;
  auto sink = make_ingest_sink(s.system, s.running, 4);
  std::atomic<int> answered{0};
  const auto frames = random_frames(5, 30);
  std::thread source{[&] {
    for (const auto& f : frames)
      sink->offer(f, [&](const verdict&) { ++answered; });
  }};
  while (answered < 5)
    std::this_thread::yield();
  CHECK(stop_service(s.system, s.running));
  source.join();
  CHECK(sink->drain(std::chrono::seconds{600}));
  CHECK(answered == 30);
  sink.reset();
  s.system.await_all_actors_done();
  // No actor that ended is kept by another, or by itself: a system could not shut down.
  for (int i = 0; i < 12'000 && !s.running.context.registry->statuses().empty(); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  std::string left;
  for (const auto& a : s.running.context.registry->statuses())
    left += a.role + " " + std::to_string(a.id) + "; ";
  CHECK(left == "");
}

TEST_CASE("with real threads and meshers killed meanwhile the map is that of the plain field") {
  threaded_service s;
  const auto frames = random_frames(6, 60);
  auto sink = make_ingest_sink(s.system, s.running, 8);
  std::atomic<bool> stop{false};
  std::thread killer{[&] {
    caf::scoped_actor self{s.system};
    std::mt19937 random{1};
    while (!stop) {
      const region_key region{static_cast<int32_t>(random() % 7) - 3, static_cast<int32_t>(random() % 7) - 3,
                              static_cast<int32_t>(random() % 7) - 3};
      self->request(s.running.supervisor.get(), std::chrono::seconds{120}, kill_atom::value, region)
        .receive([](bool) {}, [](const caf::error&) {});
      std::this_thread::sleep_for(std::chrono::microseconds{300});
    }
  }};
  std::atomic<int> accepted{0};
  for (const auto& f : frames)
    sink->offer(f, [&](const verdict& v) { accepted += v.what == outcome::accepted; });
  CHECK(sink->drain(std::chrono::seconds{600}));
  stop = true;
  killer.join();
  CHECK(accepted == 60);
  const auto status = s.status();
  REQUIRE(status);
  CHECK(status->field.hash == truth(small_map(), frames));
}

TEST_CASE("a bad configuration is an error that names the value") {
  auto by = std::make_shared<control>();
  deterministic_config cfg;
  caf::actor_system system{cfg};
  auto config = config_for(by);
  config.threads = 0;
  CHECK_THROWS_WITH(start_service(system, config), Catch::Contains("threads is 0, not 1 to"));
  config = config_for(by);
  config.limits.max_points = (1u << 24) + 1;
  CHECK_THROWS_WITH(start_service(system, config), Catch::Contains("max_points is 16777217"));
  config = config_for(by);
  config.encode = nullptr;
  CHECK_THROWS_AS(start_service(system, config), std::invalid_argument);
  config = config_for(by);
  config.store_folder = "/no/such/folder";
  CHECK_THROWS_AS(start_service(system, config), std::system_error);
}
