// Keyframes over which meshers or devices die again and again are found out, taken out exactly, and kept out.

#include "actors/map/suspects.hpp"
#include "actors/store/spilling_store.hpp"
#include "wanted_map.hpp"
#include "watched_service.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace tessera;
using namespace tessera::toy;

namespace {

constexpr float mark = 37.25f; ///< a place where no other keyframe has a point

/// A keyframe with one point at a place of its own, by which it is known to the field.
keyframe deadly_frame(std::mt19937& random, const std::string& id) {
  auto out = random_frame(random, id);
  auto body = std::make_shared<owned_keyframe_body>();
  body->point_data.assign(out.body->points().begin(), out.body->points().end());
  body->point_data.insert(body->point_data.end(), {mark, 0, 0});
  body->colour_data.resize(body->point_data.size());
  out.body = std::move(body);
  return out;
}

constexpr int64_t marked_x = static_cast<int64_t>(mark * ray_units_per_voxel);

bool is_marked(const std::map<cell, int64_t>& cells) {
  return std::any_of(cells.begin(), cells.end(), [](const auto& one) { return one.second != 0 && one.first[0] == marked_x; });
}

/// The mesher dies over a region that shows the mark, or the device with it.
void make_deadly(control& by, bool to_device = false) {
  by.before_mesh = [to_device](const std::map<cell, int64_t>& cells) {
    if (is_marked(cells) && to_device)
      throw std::runtime_error("a mark");
    if (is_marked(cells))
      throw std::invalid_argument("a mark");
  };
}

void settle(stepped_service& s) {
  s.run();
  for (int i = 0; i < 60; ++i)
    s.tick(std::chrono::milliseconds{250});
}

std::set<std::string> in_quarantine(const stepped_service& s) {
  std::set<std::string> out;
  for (const auto& one : s.running.context.numbers->quarantine.list())
    out.insert(one.id.value);
  return out;
}

/// The map, what is shown and the cameras are those of these keyframes.
void check_map(stepped_service& s, const std::vector<keyframe>& frames) {
  CHECK(s.status().keyframes == frames.size());
  CHECK(to_hex(s.status().field.hash) == to_hex(truth(small_map(), frames)));
  CHECK(shown(s) == wanted(s));
  auto cameras = s.ask<std::vector<camera>>(s.running.broadcaster.get(), camera_atom::value);
  s.run();
  CHECK(cameras->value().size() == frames.size());
}

} // namespace

TEST_CASE("a keyframe over which its mesher dies twice is taken out, listed, and may come again when it was retracted") {
  auto by = std::make_shared<control>();
  make_deadly(*by);
  stepped_service s{config_for(by), by};
  std::mt19937 random{1};
  const auto others = random_frames(1, 4);
  for (const auto& f : others)
    s.put(f);
  settle(s);
  auto deadly = deadly_frame(random, "deadly");
  deadly.source = "shm";
  const auto told = s.put(deadly);
  settle(s);
  CHECK((*told)->what == outcome::accepted);
  const auto& board = s.running.context.numbers->quarantine;
  REQUIRE(in_quarantine(s) == std::set<std::string>{"deadly"});
  const auto entry = board.list().front();
  CHECK(entry.source == "shm");
  CHECK(entry.deaths == 2);
  CHECK(entry.time_ns > 0);
  CHECK_THAT(entry.reason, Catch::Contains("mesher of region") && Catch::Contains("2 times") && Catch::Contains("a mark"));
  check_map(s, others);
  const uint64_t restarts = s.running.context.numbers->restarts;

  SECTION("a repetition is refused with the reason, and kills nothing") {
    const auto again = s.put(deadly);
    settle(s);
    CHECK((*again)->what == outcome::refused);
    CHECK_THAT((*again)->reason, Catch::Contains("in quarantine") && Catch::Contains("a mark"));
    CHECK(s.running.context.numbers->refused_by[static_cast<size_t>(refusal::quarantined)] == 1);
    CHECK(s.running.context.numbers->restarts == restarts);
    check_map(s, others);
  }
  SECTION("a retraction clears it") {
    by->before_mesh = nullptr; // mended
    s.put(retraction{deadly.id});
    settle(s);
    CHECK(board.size() == 0);
    CHECK(s.running.store->quarantined().empty());
    CHECK(s.running.store->usage().keyframes == others.size());
    const auto again = s.put(deadly);
    settle(s);
    CHECK((*again)->what == outcome::accepted);
    auto all = others;
    all.push_back(deadly);
    check_map(s, all);
  }
  SECTION("so does one of its whole source") {
    auto gone = s.ask<verdict>(s.running.ingest.get(), retract_atom::value, keyframe_selection{{}, "shm", {}});
    settle(s);
    CHECK(gone->value().keyframes == 1);
    CHECK(board.size() == 0);
  }
  SECTION("a partitioner's successor, and the next process, keep it out") {
    s.kill("partitioner");
    settle(s);
    CHECK(in_quarantine(s) == std::set<std::string>{"deadly"});
    check_map(s, others);
    CHECK(s.running.store->quarantined().front().reason == entry.reason);
  }
}

TEST_CASE("of many keyframes that came at once those are found that kill the mesher, and the others stay") {
  for (unsigned seed = 0; seed < 30; ++seed) {
    INFO("seed " << seed);
    auto by = std::make_shared<control>();
    const auto to_device = seed % 5 == 4;
    make_deadly(*by, to_device);
    stepped_service s{config_for(by), by};
    std::mt19937 random{seed};
    auto frames = random_frames(seed + 300, 10);
    std::set<std::string> bad;
    std::vector<keyframe> good;
    for (auto& f : frames) {
      if (random() % 5 == 0 && bad.size() < (to_device ? 1 : 2)) {
        f = deadly_frame(random, f.id.value);
        bad.insert(f.id.value);
      } else {
        good.push_back(f);
      }
      s.put(f);
      s.run_some(random, random() % 60);
      if (random() % 8 == 0)
        s.kill("broadcaster");
    }
    settle(s);
    CHECK(in_quarantine(s) == bad);
    check_map(s, good);
    CHECK(s.running.context.numbers->lost_core == 0);
  }
}

TEST_CASE("a mesher that is killed, or finds no memory, speaks against no keyframe") {
  auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  const auto frames = random_frames(5, 3);
  int failing = 6;
  by->before_mesh = [&](const std::map<cell, int64_t>&) {
    if (--failing > 0)
      throw std::bad_alloc{};
  };
  for (const auto& f : frames) {
    s.put(f);
    for (int i = 0; i < 3; ++i) {
      s.scheduler().run();
      for (const auto& region : regions_of(f))
        s.ask<bool>(s.running.supervisor.get(), kill_atom::value, region);
    }
  }
  settle(s);
  CHECK(in_quarantine(s).empty());
  check_map(s, frames);
}

TEST_CASE("a keyframe over which two devices fail as it comes is refused and kept out") {
  auto by = std::make_shared<control>();
  stepped_service s{config_for(by), by};
  const auto frames = random_frames(6, 4);
  for (size_t i = 0; i < 3; ++i)
    s.put(frames[i]);
  settle(s);
  int deaths = 0;
  by->before = [&](const keyframe_body* body, const std::vector<ray>&) {
    if (body == frames[3].body.get() && ++deaths > 0)
      throw std::runtime_error("it is too much");
  };
  for (int i = 0; i < 3; ++i) {
    const auto told = s.put(frames[3]);
    settle(s);
    REQUIRE(told->has_value());
    CHECK((*told)->what == outcome::refused);
    CHECK(deaths == 2);
  }
  CHECK(in_quarantine(s) == std::set<std::string>{frames[3].id.value});
  check_map(s, {frames.begin(), frames.begin() + 3});
  CHECK(s.running.context.numbers->lost_core == 0);
}

TEST_CASE("a keyframe over which devices fail when the map is made again goes from it") {
  const auto by = std::make_shared<control>();
  const auto store
    = std::make_shared<spilling_store>(spilling_options{.cap_bytes = uint64_t{1} << 30, .folder = {}, .own_thread = false});
  auto config = config_for(by);
  config.make_store = [&] { return store; };
  auto s = std::make_unique<stepped_service>(config, by);
  const auto frames = random_frames(7, 5);
  for (const auto& f : frames)
    s->put(f);
  settle(*s);
  ray_counts counts;
  const auto its = make(small_map(), *frames[2].body, frames[2].world_from_camera, counts);
  int deaths = 0;
  by->before = [&](const keyframe_body*, const std::vector<ray>& rays) {
    if (rays == its && ++deaths > 0)
      throw std::runtime_error("it is too much");
  };
  auto left = frames;
  left.erase(left.begin() + 2);
  SECTION("after a device died") {
    s->kill("device");
    settle(*s);
  }
  SECTION("after the partitioner died") {
    s->kill("partitioner");
    settle(*s);
  }
  SECTION("in the next process, and in the one after it nothing dies") {
    s = nullptr;
    s = std::make_unique<stepped_service>(config, by);
    settle(*s);
  }
  CHECK(in_quarantine(*s) == std::set<std::string>{frames[2].id.value});
  check_map(*s, left);
  CHECK(deaths == 2);
  CHECK(store->usage().keyframes == frames.size()); // it stays there: what died may not be its fault
  s = nullptr;
  s = std::make_unique<stepped_service>(config, by);
  settle(*s);
  CHECK(deaths == 2);
  CHECK(in_quarantine(*s) == std::set<std::string>{frames[2].id.value});
  check_map(*s, left);
}

TEST_CASE("a keyframe in quarantine stays in the store until it is taken out or taken again") {
  const auto by = std::make_shared<control>();
  const auto store
    = std::make_shared<spilling_store>(spilling_options{.cap_bytes = uint64_t{1} << 30, .folder = {}, .own_thread = false});
  auto config = config_for(by);
  config.make_store = [&] { return store; };
  const auto frames = random_frames(7, 5);
  auto s = std::make_unique<stepped_service>(config, by);
  for (const auto& f : frames)
    s->put(f);
  settle(*s);
  s = nullptr;
  store->quarantine({frames[2].id, "shm", {}, 0, "it is deadly", 1, 2}, [](bool, const std::exception_ptr&) {});
  s = std::make_unique<stepped_service>(config, by);
  settle(*s);
  auto left = frames;
  left.erase(left.begin() + 2);
  check_map(*s, left);

  SECTION("it is taken again when its quarantine was ended") {
    s = nullptr;
    store->release(frames[2].id, [](bool, const std::exception_ptr&) {});
    s = std::make_unique<stepped_service>(config, by);
    settle(*s);
    CHECK(in_quarantine(*s).empty());
    check_map(*s, frames);
  }
  SECTION("a retraction erases it") {
    s->put(retraction{frames[2].id});
    settle(*s);
    CHECK(in_quarantine(*s).empty());
    CHECK(store->usage().keyframes == left.size());
  }
  SECTION("a new pose of it is unknown") {
    const auto v = s->put(revision{frames[2].id, frames[0].world_from_camera, {}});
    settle(*s);
    CHECK((*v)->what == outcome::unknown);
    check_map(*s, left);
  }
}

TEST_CASE("what is kept in number holds for keyframes in quarantine, too, also after a start") {
  const auto by = std::make_shared<control>();
  const auto store
    = std::make_shared<spilling_store>(spilling_options{.cap_bytes = uint64_t{1} << 30, .folder = {}, .own_thread = false});
  auto config = config_for(by);
  config.make_store = [&] { return store; };
  const auto frames = random_frames(8, 3);
  {
    stepped_service s{config, by};
    for (const auto& f : frames)
      s.put(f);
    settle(s);
  }
  store->quarantine({frames[0].id, "shm", {}, 0, "it is deadly", 1, 2}, [](bool, const std::exception_ptr&) {});
  config.retain = {.keyframes = 2};
  stepped_service s{config, by};
  settle(s);
  CHECK(in_quarantine(s).empty());
  CHECK(store->usage().keyframes == 2);
  check_map(s, {frames.begin() + 1, frames.end()});
}

TEST_CASE("a keyframe that is in quarantine since the last process is not taken, and stays in the store") {
  const auto by = std::make_shared<control>();
  const auto store
    = std::make_shared<spilling_store>(spilling_options{.cap_bytes = uint64_t{1} << 30, .folder = {}, .own_thread = false});
  auto config = config_for(by);
  config.make_store = [&] { return store; };
  const auto frames = random_frames(8, 3);
  {
    stepped_service s{config, by};
    for (const auto& f : frames)
      s.put(f);
    settle(s);
  }
  store->quarantine({frames[0].id, "shm", {}, 0, "it is deadly", 1, 2}, [](bool, const std::exception_ptr&) {});
  stepped_service s{config, by};
  settle(s);
  CHECK(in_quarantine(s) == std::set<std::string>{frames[0].id.value});
  check_map(s, {frames.begin() + 1, frames.end()});
  CHECK(store->usage().keyframes == 3);
}

TEST_CASE("the quarantine is bounded: for a newer one the oldest is forgotten") {
  quarantine_board board;
  for (size_t i = 0; i < quarantine_board::capacity; ++i)
    CHECK_FALSE(board.enter({{std::to_string(i)}, "shm", {}, 0, "x", i, 2}));
  CHECK_FALSE(board.enter({{"5"}, "shm", {}, 0, "again", 5, 3}));
  CHECK(board.enter({{"new"}, "shm", {}, 0, "x", 5, 2}) == keyframe_id{"0"});
  CHECK(board.size() == quarantine_board::capacity);
  CHECK(board.find({"5"})->reason == "again");
  CHECK_FALSE(board.find({"0"}));
  CHECK(board.erase({"5"}));
  CHECK_FALSE(board.erase({"5"}));
  CHECK(board.list().front().id.value == "new");
}

TEST_CASE("a mesher is known to have died over what is in no surface yet") {
  suspects known;
  const region_key here{1, 2, 3}, there{};
  auto found = known.died(here, 4, {2, 4, 7}, 2);
  CHECK(found.in_hand == std::vector<uint64_t>{7});
  CHECK(found.deadly.empty());
  CHECK(known.died(there, 0, {7}, 2).deadly.empty()); // each region counts for itself
  found = known.died(here, 0, {2, 4, 7, 9}, 2);
  CHECK(found.in_hand == std::vector<uint64_t>{7, 9});
  CHECK(found.deadly == std::vector<uint64_t>{7});
  CHECK(known.deaths(here, 7) == 2);
  known.showed(here, 7);
  found = known.died(here, 0, {7, 9}, 2);
  CHECK(found.deadly == std::vector<uint64_t>{9});
  known.forget(here);
  CHECK(known.died(here, 0, {9}, 2).deadly.empty());
}
