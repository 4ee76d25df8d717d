// A region comes with its first keyframe and ends with its last; what may not be taken touches none.

#include "gpu/bounds.hpp"
#include "wanted_map.hpp"
#include "watched_service.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace tessera;
using namespace tessera::toy;

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

TEST_CASE("a keyframe that is not taken has no mesher started") {
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
        s.kill(core_roles[random() % core_roles.size()]);
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
    end(s, in);
  }
}

TEST_CASE("a keyframe that would touch too many regions is refused before it touches any") {
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  bool too_large = true;
  by->before = [&](const keyframe_body*, const std::vector<ray>&) {
    if (too_large)
      throw keyframe_too_large(small_map(), 67'600, false);
  };
  stepped_service s{config, by};
  const auto frames = random_frames(13, 1);
  auto v = s.put(frames[0]);
  s.run();
  REQUIRE(v->value().what == outcome::refused);
  CHECK_THAT(v->value().reason, Catch::Contains("touches 67600 regions") && Catch::Contains("at most 8192"));
  CHECK(up(s, "mesher") == 0);
  CHECK(s.running.context.numbers->refused_by[static_cast<size_t>(refusal::points)] == 1);
  too_large = false;
  v = s.put(frames[0]); // it is not live
  s.run();
  CHECK(v->value().what == outcome::accepted);
  too_large = true;
  pose far;
  far.m[3] = 100;
  v = s.put(revision{frames[0].id, far});
  s.run();
  CHECK(v->value().what == outcome::refused); // and stays where it was
  too_large = false;
  CHECK(s.status().keyframes == 1);
  CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), frames)));
}
