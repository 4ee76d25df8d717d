// Any actor may die at any time: afterwards the map, and what viewers see, are those of the live keyframes.

#include "wanted_map.hpp"
#include "watched_service.hpp"

#include <catch2/catch.hpp>

#include <set>
#include <thread>

using namespace tessera;
using namespace tessera::toy;

TEST_CASE("each core actor that is killed in quiet has a successor, and nothing is lost") {
  for (const auto& role : core_roles) {
    INFO(role);
    auto by = std::make_shared<control>();
    stepped_service s{config_for(by), by};
    offered in{s};
    const auto frames = random_frames(1, 8);
    for (size_t i = 0; i < 6; ++i)
      in.put(frames[i]);
    s.run();
    const auto before = s.status();
    const auto seen = shown(s);
    s.kill(role);
    s.run();
    CHECK(s.status().field.hash == before.field.hash);
    CHECK(s.status().keyframes == 6);
    CHECK(shown(s) == seen);
    CHECK(restarts_of(s, role) == 1);
    CHECK(s.running.context.numbers->lost_core == 0);
    // And it goes on.
    in.put(frames[6]);
    in.put(frames[7]);
    in.put(frames[0]);
    in.retract(frames[1]);
    s.run();
    CHECK(in.verdicts == std::map<outcome, int>{{outcome::accepted, 9}, {outcome::duplicate, 1}});
    auto left = frames;
    left.erase(left.begin() + 1);
    CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), left)));
    CHECK(shown(s) == wanted(s));
    auto cameras = s.ask<std::vector<camera>>(s.running.broadcaster.get(), camera_atom::value);
    s.run();
    CHECK(cameras->value().size() == left.size());
    end(s, in);
  }
}

TEST_CASE("a broadcaster that comes while there is no partitioner hears of all cameras") {
  const auto roles = GENERATE(std::array{"broadcaster", "partitioner"}, std::array{"partitioner", "broadcaster"});
  const auto frames = random_frames(4, 6);
  const auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  for (const auto& frame : frames)
    s.put(frame);
  s.run();
  for (const auto* role : roles)
    s.kill(role);
  s.run();
  CHECK(s.status().keyframes == frames.size());
  auto cameras = s.ask<std::vector<camera>>(s.running.broadcaster.get(), camera_atom::value);
  s.run();
  CHECK(cameras->value().size() == frames.size());
}

TEST_CASE("core actors that are killed at random while keyframes come and go leave no trace") {
  for (unsigned seed = 0; seed < 25; ++seed) {
    INFO("seed " << seed);
    auto by = std::make_shared<control>();
    auto config = config_for(by);
    config.credit = 4;
    stepped_service s{config, by};
    offered in{s};
    std::mt19937 random{seed};
    const auto frames = random_frames(200 + seed, 20);
    std::set<size_t> live;
    for (size_t i = 0; i < frames.size(); ++i) {
      in.put(frames[i]);
      live.insert(i);
      s.run_some(random, random() % 150);
      if (i % 3 == 2) {
        const auto victim = random() % (i + 1);
        in.retract(frames[victim]);
        live.erase(victim);
      }
      s.kill(core_roles[random() % core_roles.size()]);
      s.run_some(random, random() % 60);
    }
    s.run();
    for (int i = 0; i < 20; ++i)
      s.tick(std::chrono::milliseconds{250});
    CHECK(in.answered() == in.asked);
    for (const auto wrong : {outcome::refused, outcome::not_now, outcome::conflict})
      CHECK(in.verdicts[wrong] == 0);
    std::vector<keyframe> left;
    for (auto i : live)
      left.push_back(frames[i]);
    const auto status = s.status();
    CHECK(status.keyframes == left.size());
    CHECK(to_hex(status.field.hash) == to_hex(truth(small_map(), left)));
    CHECK(shown(s) == wanted(s));
    CHECK(s.running.context.numbers->lost_core == 0);
    end(s, in);
  }
}

TEST_CASE("a partitioner's successor sorts what is live a few keyframes at a time and answers in between") {
  const bool broadcaster_dies = GENERATE(false, true);
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  stepped_service s{config, by};
  offered in{s};
  const auto frames = random_frames(7, 42);
  for (size_t i = 0; i < 40; ++i)
    in.put(frames[i]);
  s.run();
  const uint64_t patches = s.running.context.numbers->patches;
  s.kill("partitioner");
  by->asked.clear();
  std::mt19937 random{7};
  while (by->asked.empty())
    s.run_some(random, 1);
  const auto all_but_the_partitioner = [&s] {
    auto& jobs = s.scheduler().jobs;
    const auto is_other = [](caf::resumable* job) {
      const auto* actor = dynamic_cast<caf::scheduled_actor*>(job);
      return actor == nullptr || std::string{actor->name()} != "partitioner";
    };
    for (auto i = jobs.begin(); (i = std::find_if(jobs.begin(), jobs.end(), is_other)) != jobs.end();) {
      std::swap(*i, jobs.front());
      s.scheduler().run_once();
    }
  };
  // What is asked now is refused at once, with how far it is; changes wait, also of keyframes that were not looked at yet.
  std::string told;
  s.system.spawn<script_actor>([&told, whom = s.running.partitioner.get()](caf::event_based_actor* self) {
    self->request(whom, std::chrono::minutes{60}, status_atom::value)
      .then([](const map_status&) {}, [&told](const caf::error& err) { told = describe(err); });
    return caf::behavior{};
  });
  in.put(frames[40]);
  in.put(frames[39]);
  in.retract(frames[38]);
  if (broadcaster_dies)
    s.kill("broadcaster");
  size_t most = 0;
  for (all_but_the_partitioner(); told.empty() || by->asked.size() < 32; all_but_the_partitioner()) {
    const auto before = by->asked.size();
    s.scheduler().run_once();
    all_but_the_partitioner();
    most = std::max(most, by->asked.size() - before);
  }
  CHECK(s.running.context.numbers->patches == patches); // no region is shown before it has all
  CHECK_THAT(told, Catch::Contains("of 40 keyframes are to be taken again"));
  CHECK(most > 0);
  CHECK(most <= 8);
  CHECK(by->asked.size() < 40);
  CHECK(in.answered() == 40);
  s.run();
  CHECK(in.verdicts == std::map<outcome, int>{{outcome::accepted, 42}, {outcome::duplicate, 1}});
  auto left = frames;
  left.erase(left.begin() + 38);
  left.pop_back();
  CHECK(s.status().keyframes == left.size());
  CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), left)));
  CHECK(shown(s) == wanted(s));
  auto cameras = s.ask<std::vector<camera>>(s.running.broadcaster.get(), camera_atom::value);
  s.run();
  CHECK(cameras->value().size() == left.size());
  end(s, in);
}

TEST_CASE("a viewer's session ends with the broadcaster, and whoever comes back sees the map") {
  auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  const auto frames = random_frames(3, 4);
  for (const auto& f : frames)
    s.put(f);
  s.run();
  const auto join = [&](std::vector<held_patch> have, std::vector<patch>& seen) {
    auto handle = std::make_shared<session_actor>();
    *handle = spawn_session(s.system, s.running.context, s.running.broadcaster.get(), s.running.session,
                            [&seen, weak = std::weak_ptr{handle}](session_output f) {
                              if (auto* p = std::get_if<patch>(&f))
                                seen.push_back(*p);
                              caf::anon_send(*weak.lock(), sent_atom::value);
                            });
    caf::anon_send(*handle, subscribe{"test", std::move(have), 0});
    s.run();
    return handle;
  };
  std::vector<patch> first, again;
  auto viewer = join({}, first);
  bool ended = false;
  (*viewer)->attach_functor([&ended] { ended = true; });
  s.kill("broadcaster");
  s.run();
  CHECK(ended); // its socket is closed with "connect again"
  std::vector<held_patch> have;
  std::map<region_key, uint32_t> screen;
  for (const auto& p : first) {
    have.push_back({p.region, p.version});
    screen[p.region] = p.triangles;
  }
  REQUIRE_FALSE(have.empty());
  viewer = join(std::move(have), again);
  for (const auto& p : again)
    screen[p.region] = p.triangles;
  std::erase_if(screen, [](const auto& one) { return one.second == 0; });
  CHECK(screen == wanted(s));
  caf::anon_send_exit(*viewer, caf::exit_reason::user_shutdown);
  viewer.reset();
  s.run();
}

TEST_CASE("a region that a new broadcaster called gone is shown again when its mesher tells") {
  auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  s.put(random_frames(4, 1)[0]);
  s.run();
  auto patches = s.ask<std::vector<patch>>(s.running.broadcaster.get(), list_atom::value);
  s.run();
  const auto old = patches->value().front();
  s.kill("broadcaster");
  s.run();
  auto fresh = s.ask<patch>(s.running.broadcaster.get(), patch_atom::value, old.region);
  s.run();
  CHECK(fresh->value().version > old.version + 1); // the version under which it is called gone
}

TEST_CASE("a question under which a mesher dies is answered when its successor comes, and needs nothing else to happen") {
  for (unsigned seed = 0; seed < 60; ++seed) {
    INFO("seed " << seed);
    auto by = std::make_shared<control>();
    stepped_service s{config_for(by), by};
    const auto frames = random_frames(8, 2);
    for (const auto& f : frames)
      s.put(f);
    s.run();
    std::mt19937 random{seed};
    auto answer = s.ask<map_status>(s.running.partitioner.get(), status_atom::value);
    s.run_some(random, random() % 40);
    for (const auto& region : regions_of(frames[0]))
      if (random() % 3 == 0)
        s.ask<bool>(s.running.supervisor.get(), kill_atom::value, region);
    s.run(); // no time passes
    REQUIRE(answer->has_value());
    CHECK(to_hex((*answer)->field.hash) == to_hex(truth(small_map(), frames)));
  }
}

TEST_CASE("an actor that cannot be started again ends the service, once, with the reason") {
  std::vector<std::string> reasons;
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  int devices = 0;
  config.make_cpu = [by, &devices](const map_settings& map, const cpu_options&) {
    if (++devices > 1)
      throw std::runtime_error("there is no device any more");
    return std::make_shared<toy::field>(map, by);
  };
  config.on_lost = [&](const std::string& why) { reasons.push_back(why); };
  stepped_service s{config, by};
  s.kill("device");
  s.run();
  REQUIRE(reasons.size() == 1);
  CHECK_THAT(reasons[0], Catch::Contains("device") && Catch::Contains("there is no device any more"));
  CHECK(s.running.context.numbers->lost_core == 1);
  s.kill("supervisor");
  s.run();
  CHECK(reasons.size() == 1);
  CHECK(s.running.context.numbers->lost_core == 2);
}

TEST_CASE("the death of the supervisor ends the service, its orderly end does not") {
  for (const auto killed : {true, false}) {
    std::vector<std::string> reasons;
    auto by = std::make_shared<control>();
    auto config = config_for(by);
    config.on_lost = [&](const std::string& why) { reasons.push_back(why); };
    {
      stepped_service s{config, by};
      if (killed) {
        s.kill("supervisor");
        s.run();
      }
    }
    CHECK(reasons.size() == (killed ? 1 : 0));
  }
}

TEST_CASE("with real threads and core actors killed meanwhile the map is that of the plain field") {
  auto by = std::make_shared<control>();
  auto how = config_for(by);
  how.own_threads = true;
  threaded_config config;
  caf::actor_system system{config};
  auto running = start_service(system, how);
  {
    const auto frames = random_frames(6, 60);
    auto sink = make_ingest_sink(system, running, 8);
    std::atomic<bool> stop{false};
    std::thread killer{[&] {
      caf::scoped_actor self{system};
      std::mt19937 random{1};
      while (!stop) {
        self
          ->request(caf::actor_cast<supervisor_setup>(running.supervisor.get()), std::chrono::seconds{120}, kill_atom::value,
                    core_roles[random() % core_roles.size()])
          .receive([](bool) {}, [](const caf::error&) {});
        std::this_thread::sleep_for(std::chrono::milliseconds{2});
      }
    }};
    std::atomic<int> done{0};
    for (const auto& f : frames)
      sink->offer(f, [&](const verdict& v) { done += v.what == outcome::accepted || v.what == outcome::duplicate; });
    CHECK(sink->drain(std::chrono::seconds{600}));
    stop = true;
    killer.join();
    CHECK(done == 60);
    std::optional<map_status> status;
    caf::scoped_actor self{system};
    for (int i = 0; i < 12'000 && !status; ++i) { // the last one killed may have been the partitioner that is asked
      self->request(running.partitioner.get(), std::chrono::seconds{120}, status_atom::value)
        .receive([&](const map_status& x) { status = x; },
                 [](const caf::error&) { std::this_thread::sleep_for(std::chrono::milliseconds{10}); });
    }
    CHECK(to_hex(status.value_or(map_status{}).field.hash) == to_hex(truth(small_map(), frames)));
    CHECK(running.context.numbers->lost_core == 0);
    CHECK(running.context.numbers->restarts > 0);
  }
  CHECK(stop_service(system, running));
}
