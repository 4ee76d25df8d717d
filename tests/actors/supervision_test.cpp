// Any actor may die at any time: afterwards the map, and what viewers see, are those of the live keyframes.

#include "gpu/bounds.hpp"
#include "toy_service.hpp"
#include "wanted_map.hpp"

#include <catch2/catch.hpp>

#include <set>
#include <thread>

using namespace tessera;
using namespace tessera::toy;

namespace {

const std::vector<std::string> roles{"ingest", "partitioner", "broadcaster", "placement", "device"};

/// What a viewer who joins now is shown: each region's triangles.
std::map<region_key, uint32_t> shown(stepped_service& s) {
  auto patches = s.ask<std::vector<patch>>(s.running.broadcaster.get(), list_atom::value);
  s.run();
  std::map<region_key, uint32_t> out;
  for (const auto& p : patches->value())
    out[p.region] = p.triangles;
  return out;
}

/// Actors of a role that are up.
size_t up(stepped_service& s, const std::string& role) {
  size_t n = 0;
  for (const auto& a : s.running.context.registry->statuses())
    n += a.role == role && a.state != "down";
  return n;
}

std::vector<region_status> regions(stepped_service& s) {
  auto answer = s.ask<std::vector<region_status>>(s.running.partitioner.get(), list_atom::value);
  s.run();
  return answer->value();
}

uint64_t restarts_of(stepped_service& s, const std::string& role) {
  for (const auto& a : s.running.context.registry->statuses())
    if (a.role == role)
      return a.restarts;
  return 0;
}

/// Offers through the sink that sources use; counts the verdicts.
struct offered {
  explicit offered(stepped_service& s) : sink{make_ingest_sink(s.system, s.running, 1000)} { s.run(); }
  void put(const keyframe& frame) {
    ++asked;
    sink->offer(frame, [this](const verdict& v) { ++verdicts[v.what]; });
  }
  void retract(const keyframe& frame) {
    ++asked;
    sink->retract(frame.id, [this](const verdict& v) { ++verdicts[v.what]; });
  }
  int answered() const {
    int n = 0;
    for (const auto& [what, count] : verdicts)
      n += count;
    return n;
  }
  std::map<outcome, int> verdicts;
  int asked = 0;
  std::unique_ptr<ingest_sink> sink;
};

/// The regions that a keyframe touches.
std::vector<region_key> regions_of(const keyframe& frame) {
  ray_counts counts;
  uint64_t beyond = 0;
  const auto parts
    = split(small_map(), make(small_map(), *frame.body, frame.world_from_camera, counts), frame.world_from_camera, beyond);
  std::vector<region_key> out;
  for (const auto& part : parts.parts)
    out.push_back(part.region);
  return out;
}

/// Ends a sink under the test scheduler, where somebody must work off what it sends.
void end(stepped_service& s, offered& in) {
  s.run();
  in.sink->close();
  in.sink.reset();
  s.run();
}

} // namespace

TEST_CASE("each core actor that is killed in quiet has a successor, and nothing is lost") {
  for (const auto& role : roles) {
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
      s.kill(roles[random() % roles.size()]);
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
    CHECK(s.by->overlaps == 0);
    end(s, in);
  }
}

TEST_CASE("a region that holds nothing ends with all that was kept of it, and its versions go on when it comes back") {
  auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  offered in{s};
  const auto before = s.running.context.registry->existing();
  const auto frames = random_frames(11, 6);
  std::map<region_key, uint64_t> newest; // version that was ever shown
  for (int round = 0; round < 3; ++round) {
    INFO("round " << round);
    for (const auto& f : frames)
      in.put(f);
    s.run();
    CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), frames)));
    CHECK(shown(s) == wanted(s));
    auto patches = s.ask<std::vector<patch>>(s.running.broadcaster.get(), list_atom::value);
    s.run();
    for (const auto& p : patches->value()) {
      CHECK(p.version > newest[p.region] + 1); // the next one is what a viewer is told that comes back with it while it is gone
      newest[p.region] = p.version;
    }
    for (const auto& f : frames)
      in.retract(f);
    s.run();
    CHECK(shown(s).empty());
    s.tick(std::chrono::milliseconds{2'000});
    CHECK(up(s, "mesher") > 0); // what follows soon finds them
    s.tick(std::chrono::milliseconds{4'000});
    CHECK(up(s, "mesher") == 0);
    CHECK(regions(s).empty());
    CHECK(s.running.context.registry->existing() == before); // nothing holds on to them, CAF's clock neither
    CHECK(s.running.context.numbers->regions == 0);
    CHECK(s.running.context.numbers->held_patch_bytes == 0);
  }
  CHECK(in.verdicts == std::map<outcome, int>{{outcome::accepted, 36}});
  CHECK(s.running.context.numbers->restarts == 0);
  end(s, in);
}

TEST_CASE("meshers of regions that a keyframe was refused in end, too") {
  auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  offered in{s};
  const auto frames = random_frames(12, 5);
  in.put(frames[0]);
  s.run();
  const auto few = regions(s).size();
  by->cells_left = 20;
  for (size_t i = 1; i < frames.size(); ++i)
    in.put(frames[i]);
  s.run();
  CHECK(in.verdicts[outcome::accepted] == 1);
  CHECK(regions(s).size() > few);
  s.tick(std::chrono::milliseconds{6'000});
  CHECK(regions(s).size() == few);
  CHECK(up(s, "mesher") == few);
  CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), {frames[0]})));
  end(s, in);
}

TEST_CASE("meshers that end, die and are asked for at random leave no trace") {
  for (unsigned seed = 0; seed < 25; ++seed) {
    INFO("seed " << seed);
    auto by = std::make_shared<control>();
    auto config = config_for(by);
    config.credit = 4;
    stepped_service s{config, by};
    offered in{s};
    std::mt19937 random{seed};
    std::vector<keyframe> frames;
    std::set<size_t> live;
    for (size_t i = 0; i < 40; ++i) {
      frames.push_back(random_frame(random, "kf" + std::to_string(i), 1 + random() % 6));
      in.put(frames[i]);
      live.insert(i);
      s.run_some(random, random() % 80);
      while (!live.empty() && random() % 5 < 3) {
        const auto victim = std::next(live.begin(), static_cast<std::ptrdiff_t>(random() % live.size()));
        in.retract(frames[*victim]);
        live.erase(victim);
      }
      s.run_some(random, random() % 80);
      if (random() % 3 == 0) {
        const auto r = regions_of(frames[random() % frames.size()]);
        caf::anon_send(s.running.supervisor.get(), kill_atom::value, r[random() % r.size()]);
      }
      if (random() % 8 == 0)
        s.kill(roles[random() % roles.size()]);
      s.run_some(random, random() % 40);
      if (random() % 2 == 0)
        s.scheduler().advance_time(std::chrono::milliseconds{random() % 5'000});
    }
    s.run();
    for (int i = 0; i < 20; ++i)
      s.tick(std::chrono::milliseconds{250});
    CHECK(in.answered() == in.asked);
    CHECK(in.verdicts[outcome::refused] == 0);
    std::vector<keyframe> left;
    for (auto i : live)
      left.push_back(frames[i]);
    CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), left)));
    CHECK(shown(s) == wanted(s));
    for (auto i : live)
      in.retract(frames[i]);
    s.run();
    for (int i = 0; i < 3; ++i)
      s.tick(std::chrono::milliseconds{6'000});
    CHECK(s.status().field.hash == map_hash{});
    CHECK(up(s, "mesher") == 0);
    CHECK(regions(s).empty());
    CHECK(shown(s).empty());
    CHECK(s.running.context.numbers->lost_core == 0);
    CHECK(s.by->overlaps == 0);
    end(s, in);
  }
}

TEST_CASE("a keyframe that would touch too many regions is refused before it touches any") {
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  auto too_large = std::make_shared<bool>(true);
  config.rays.split = [too_large](const mapping& map, std::span<const ray> rays, const pose& p, uint64_t& beyond) {
    if (*too_large)
      throw keyframe_too_large(map, 67'600, false);
    return split(map, rays, p, beyond);
  };
  stepped_service s{config, by};
  const auto frames = random_frames(13, 1);
  auto v = s.put(frames[0]);
  s.run();
  REQUIRE(v->value().what == outcome::refused);
  CHECK_THAT(v->value().reason, Catch::Contains("touches 67600 regions") && Catch::Contains("at most 8192"));
  CHECK(up(s, "mesher") == 0);
  CHECK(s.running.context.numbers->refused_by[static_cast<size_t>(refusal::points)] == 1);
  *too_large = false;
  v = s.put(frames[0]); // it is not live
  s.run();
  CHECK(v->value().what == outcome::accepted);
  *too_large = true;
  pose far;
  far.m[3] = 100;
  v = s.ask<verdict>(s.running.ingest.get(), revise_atom::value, frames[0].id, far);
  s.run();
  CHECK(v->value().what == outcome::refused); // and stays where it was
  *too_large = false;
  CHECK(s.status().keyframes == 1);
  CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), frames)));
}

TEST_CASE("a partitioner's successor sorts what is live a few keyframes at a time and answers in between") {
  const bool broadcaster_dies = GENERATE(false, true);
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  auto splits = std::make_shared<size_t>(0);
  config.rays.split = [splits](const mapping& map, std::span<const ray> rays, const pose& p, uint64_t& beyond) {
    ++*splits;
    return split(map, rays, p, beyond);
  };
  stepped_service s{config, by};
  offered in{s};
  const auto frames = random_frames(7, 42);
  for (size_t i = 0; i < 40; ++i)
    in.put(frames[i]);
  s.run();
  const uint64_t patches = s.running.context.numbers->patches;
  s.kill("partitioner");
  *splits = 0;
  std::mt19937 random{7};
  while (*splits == 0)
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
  for (all_but_the_partitioner(); told.empty() || *splits < 36; all_but_the_partitioner()) {
    const auto before = *splits;
    s.scheduler().run_once();
    most = std::max(most, *splits - before);
  }
  CHECK(s.running.context.numbers->patches == patches); // no region is shown before it has all
  CHECK_THAT(told, Catch::Contains("of 40 keyframes are to be looked at"));
  CHECK(most > 0);
  CHECK(most <= 4);
  CHECK(*splits < 40);
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

TEST_CASE("a ray maker that dies is replaced, and its keyframe is made by another") {
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  config.threads = 1;
  stepped_service s{config, by};
  const auto frames = random_frames(5, 3);
  auto v = s.put(frames[0]);
  int killed = 0;
  while (s.scheduler().has_job()) {
    auto* next = dynamic_cast<caf::scheduled_actor*>(s.scheduler().jobs.front());
    if (killed == 0 && next && std::string{next->name()} == "ray maker") {
      ++killed;
      caf::anon_send_exit(caf::actor_cast<caf::actor>(next), caf::exit_reason::kill);
    }
    s.scheduler().run_once();
  }
  REQUIRE(killed == 1);
  CHECK(v->value().what == outcome::accepted);
  s.put(frames[1]);
  s.put(frames[2]);
  s.run();
  CHECK(restarts_of(s, "ray maker") == 1);
  CHECK(s.status().field.hash == truth(small_map(), frames));
}

TEST_CASE("an actor that cannot be started again ends the service, once, with the reason") {
  std::vector<std::string> reasons;
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  int devices = 0;
  config.make_device = [by, &devices](const mapping& map, uint64_t) -> std::unique_ptr<backend> {
    if (++devices > 1)
      throw std::runtime_error("there is no device any more");
    return std::make_unique<toy::field>(map, by);
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
                    roles[random() % roles.size()])
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
