// A service that starts on what an earlier one kept: the map is made again, and what comes meanwhile is exact.

#include "actors/store/spilling_store.hpp"
#include "revised_frame.hpp"
#include "wanted_map.hpp"
#include "watched_service.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <set>

using namespace tessera;
using namespace tessera::toy;

namespace {

/// A store, and services on it one after another.
struct kept {
  std::shared_ptr<keyframe_store> store
    = std::make_shared<spilling_store>(spilling_options{.cap_bytes = uint64_t{1} << 30, .folder = {}, .own_thread = false});
  std::shared_ptr<control> by = std::make_shared<control>();

  std::unique_ptr<stepped_service> start() {
    auto config = config_for(by);
    config.make_store = [this] { return store; };
    return std::make_unique<stepped_service>(config, by);
  }
  void fill(const std::vector<keyframe>& frames) {
    const auto s = start();
    for (const auto& frame : frames)
      s->put(frame);
    s->run();
    REQUIRE(s->status().keyframes == frames.size());
  }
};

outcome told(stepped_service& s, const map_input& what) {
  const auto v = s.put(what);
  for (int i = 0; i < 200 && !v->has_value(); ++i)
    s.tick(std::chrono::milliseconds{50});
  REQUIRE(v->has_value());
  return (*v)->what;
}

} // namespace

TEST_CASE("a service that starts on a store has its map, and takes, moves and takes out keyframes meanwhile") {
  for (unsigned seed = 0; seed < 40; ++seed) {
    INFO("seed " << seed);
    std::mt19937 random{seed};
    const auto frames = random_frames(seed + 100, 20);
    kept k;
    k.fill({frames.begin(), frames.begin() + 12});
    const auto s = k.start();
    std::map<size_t, pose> live; // by number
    std::set<size_t> came, kept_out;
    for (size_t i = 0; i < 12; ++i)
      live[i] = frames[i].world_from_camera, came.insert(i);
    std::vector<std::shared_ptr<std::optional<verdict>>> verdicts;
    for (size_t round = 0; round < 15; ++round) {
      const size_t i = random() % frames.size();
      switch (random() % 8) {
      case 0:
        verdicts.push_back(s->put(retraction{frames[i].id}));
        live.erase(i);
        if (!came.contains(i))
          kept_out.insert(i);
        break;
      case 1: {
        auto to = frames[i].world_from_camera;
        to.m[3] += static_cast<float>(random() % 5);
        to.m[0] = to.m[5] = to.m[10] = random() % 2 == 0 ? 1.f : 0.5f;
        verdicts.push_back(s->put(revision{frames[i].id, to}));
        if (live.contains(i))
          live[i] = to;
        break;
      }
      case 2:
        if (random() % 4 == 0) {
          verdicts.push_back(s->ask<verdict>(s->running.ingest.get(), retract_atom::value, keyframe_selection{}));
          live.clear();
          kept_out.clear();
        }
        break;
      case 3:
        if (random() % 4 == 0)
          s->kill("partitioner");
        break;
      default: // a keyframe that is live is the same again, or a conflict if it was moved: it stays
        verdicts.push_back(s->put(frames[i]));
        if (!kept_out.contains(i))
          live.try_emplace(i, frames[i].world_from_camera), came.insert(i);
      }
      s->run_some(random, random() % 30);
    }
    s->run();
    for (int i = 0; i < 400 && !std::all_of(verdicts.begin(), verdicts.end(), [](auto& v) { return v->has_value(); }); ++i)
      s->tick(std::chrono::milliseconds{50});
    for (const auto& v : verdicts)
      CHECK(v->has_value());
    std::vector<keyframe> left;
    for (const auto& [i, at] : live)
      left.push_back(revised(frames[i], at));
    CHECK(s->status().keyframes == left.size());
    CHECK(to_hex(s->status().field.hash) == to_hex(truth(small_map(), left)));
    CHECK(k.store->usage().keyframes == left.size());
    CHECK(shown(*s) == wanted(*s));
  }
}

TEST_CASE("a map that is made again begins with what a viewer looks at, and is the same map") {
  auto frames = random_frames(9, 12);
  for (size_t i = 0; i < frames.size(); ++i) {
    auto& m = frames[i].world_from_camera.m;
    m[3] = static_cast<float>(i), m[7] = m[11] = 0;
  }
  kept k;
  k.fill(frames);
  const auto s = k.start();
  CHECK(k.by->asked.size() >= 2 * frames.size());
  const auto is_first = [&](const keyframe& frame) {
    k.by->asked.clear();
    s->kill("partitioner");
    s->run();
    CHECK(to_hex(s->status().field.hash) == to_hex(truth(small_map(), frames)));
    REQUIRE(k.by->asked.size() >= frames.size());
    return k.by->asked.front().world_from_camera == frame.world_from_camera;
  };
  CHECK(is_first(frames[0]));
  auto& views = s->running.context.numbers->views;
  views.set(1, {7.2f, 0, 0});
  CHECK(is_first(frames[7]));
  views.set(2, {10.9f, 0, 0});
  CHECK(is_first(frames[11]));
  views.erase(1);
  views.erase(2);
  CHECK(is_first(frames[0]));
}

TEST_CASE("what was kept is taken again newest first; with bounds on what is kept, oldest first") {
  const auto frames = random_frames(11, 6);
  kept k;
  k.fill(frames);
  const auto bound = GENERATE(true, false);
  k.by->asked.clear();
  auto config = config_for(k.by);
  config.make_store = [&] { return k.store; };
  if (bound)
    config.retain.keyframes = 100;
  stepped_service s{config, k.by};
  auto order = frames;
  if (!bound)
    std::reverse(order.begin(), order.end());
  REQUIRE(k.by->asked.size() == order.size());
  for (size_t i = 0; i < order.size(); ++i)
    CHECK(k.by->asked[i].world_from_camera.m == order[i].world_from_camera.m);
  CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), frames)));
}

TEST_CASE("what finds no room in a map that is made again stays in the store, and can be taken out, or sent again") {
  kept k;
  const auto frames = random_frames(7, 8);
  k.fill(frames);
  k.by->cells_left = 300;
  auto s = k.start();
  const auto some = s->status().keyframes;
  CHECK(some > 0);
  CHECK(some < frames.size());
  CHECK(k.store->usage().keyframes == frames.size());
  const auto asides = s->running.context.numbers->set_aside.total();
  CHECK(asides == frames.size() - some);
  std::vector<size_t> out; // those that are not in the map
  auto cameras = s->ask<std::vector<camera>>(s->running.broadcaster.get(), camera_atom::value);
  s->run();
  for (size_t i = 0; i < frames.size(); ++i)
    if (std::none_of((*cameras)->begin(), (*cameras)->end(), [&](const camera& c) { return c.id == frames[i].id; }))
      out.push_back(i);
  REQUIRE(out.size() == frames.size() - some);
  REQUIRE(out.size() >= 2);
  CHECK(told(*s, revision{frames[out[0]].id, {}}) == outcome::not_now);
  CHECK(told(*s, retraction{frames[out[0]].id}) == outcome::accepted);
  CHECK(k.store->usage().keyframes == frames.size() - 1);
  CHECK(told(*s, retraction{frames[out[0]].id}) == outcome::unknown);
  k.by->cells_left = ~0ull;
  CHECK(told(*s, frames[out[1]]) == outcome::accepted); // it takes the place of what the store has of it
  CHECK(k.store->usage().keyframes == frames.size() - 1);
  CHECK(s->status().keyframes == some + 1);

  SECTION("the next start, with room, has all") {
    s.reset();
    s = k.start();
    auto left = frames;
    left.erase(left.begin() + static_cast<std::ptrdiff_t>(out[0]));
    CHECK(to_hex(s->status().field.hash) == to_hex(truth(small_map(), left)));
  }
  SECTION("all are taken out, from the map and from the store") {
    auto v = s->ask<verdict>(s->running.ingest.get(), retract_atom::value, keyframe_selection{});
    s->run();
    REQUIRE(v->has_value());
    CHECK((*v)->what == outcome::accepted);
    CHECK(s->status().keyframes == 0);
    CHECK(k.store->usage().keyframes == 0);
  }
}

TEST_CASE("a clearing takes out what it means, also if another keyframe of that id comes before its turn") {
  auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  auto http = random_frames(9, 1)[0], shm = http;
  http.source = "http";
  shm.source = "shm";
  auto& first = GENERATE(true, false) ? http : shm;
  auto& second = &first == &http ? shm : http;
  s.put(first);
  s.run();
  std::vector<std::shared_ptr<std::optional<verdict>>> all{s.put(retraction{http.id}), s.put(second)};
  all.push_back(s.ask<verdict>(s.running.ingest.get(), retract_atom::value, keyframe_selection{{}, "http", {}}));
  s.run();
  for (const auto& v : all)
    CHECK(v->has_value());
  CHECK(s.status().keyframes == (second.source == "http" ? 0 : 1));
}
