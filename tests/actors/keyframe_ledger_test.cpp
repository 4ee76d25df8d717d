// What is live, without any actor.

#include "actors/map/keyframe_ledger.hpp"

#include <catch2/catch.hpp>

#include <set>

using namespace tessera;

namespace {

live_keyframe from(std::string source, std::string group, uint64_t rays = 1, uint64_t timestamp_ns = 0) {
  live_keyframe out;
  out.timestamp_ns = timestamp_ns;
  out.source = std::move(source);
  out.group = std::move(group);
  out.rays = rays;
  return out;
}

pose at(float x) {
  pose out;
  out.m[3] = x;
  return out;
}

} // namespace

TEST_CASE("a keyframe that moves has two insertions for a while, the old one first") {
  keyframe_ledger live;
  const keyframe_id id{"7"};
  const region_key near{0, 0, 0}, far{5, 0, 0};
  live.enter(id, from("shm", ""));
  const auto old = live.insert(id, at(0), {near}).serial;
  const auto moved = live.insert(id, at(40), {far}).serial;
  CHECK(moved > old);
  CHECK(live.find(id)->insertions.front().serial == old);
  CHECK(live.inserted(moved).world_from_camera == at(40));
  CHECK(*live.id_of(old) == id);

  live.inserted(old).leaving = true;
  CHECK_FALSE(live.stays(old));
  CHECK(live.stays(moved));
  live.remove(old);
  CHECK(live.id_of(old) == nullptr);
  CHECK_FALSE(live.stays(old));
  CHECK(live.find(id)->insertions.front().regions == std::vector{far});

  live.remove(moved);
  live.erase(id);
  CHECK(live.find(id) == nullptr);
  live.enter(id, from("shm", ""));
  CHECK(live.insert(id, at(0), {near}).serial > moved); // also of a keyframe that comes again
}

TEST_CASE("live keyframes are found by session, source, group and time, and their rays are summed up") {
  keyframe_ledger live;
  live.enter({"1"}, from("shm", "upstairs", 10));
  live.enter({"1", "monday"}, from("http", "upstairs", 20, 5));
  live.enter({"2", "monday"}, from("http", "", 30, 7));
  const auto found = [&](const keyframe_selection& which) {
    const auto ids = live.matching(which);
    return std::set<keyframe_id>{ids.begin(), ids.end()};
  };
  CHECK(found({}).size() == 3);
  CHECK(found({"", {}, {}}) == std::set<keyframe_id>{{"1"}});
  CHECK(found({{}, "http", {}}) == std::set<keyframe_id>{{"1", "monday"}, {"2", "monday"}});
  CHECK(found({"monday", {}, ""}) == std::set<keyframe_id>{{"2", "monday"}});
  CHECK(found({"never", {}, {}}).empty());
  CHECK(found({{}, {}, {}, 8}).size() == 2); // one has no time, and is before none
  CHECK(found({{}, {}, {}, 7}) == std::set<keyframe_id>{{"1", "monday"}});
  CHECK(found({{}, {}, "", 8}) == std::set<keyframe_id>{{"2", "monday"}});
  CHECK(found({{}, {}, {}, 5}).empty());
  live.at({"2", "monday"}).admission = 9;
  CHECK(found({{}, {}, {}, {}, 9}) == std::set<keyframe_id>{{"1"}, {"1", "monday"}});
  CHECK(found({{}, {}, {}, {}, 10}).size() == 3);
  CHECK(found({"monday", {}, {}, {}, 9}) == std::set<keyframe_id>{{"1", "monday"}});
  CHECK(live.size() == 3);
  CHECK(live.rays() == 60);
}

TEST_CASE("the retraction of a keyframe that never came is meant by what can be told of it") {
  const retraction early{{"1", "monday"}, 5};
  for (const keyframe_selection& which : {keyframe_selection{}, keyframe_selection{"monday", {}, {}},
                                          keyframe_selection{{}, {}, {}, {}, 6}, keyframe_selection{"monday", {}, {}, {}, 6}})
    CHECK(matches(which, early));
  for (const keyframe_selection& which :
       {keyframe_selection{"", {}, {}}, keyframe_selection{{}, "http", {}}, keyframe_selection{{}, {}, ""},
        keyframe_selection{{}, {}, {}, ~0ull}, keyframe_selection{{}, {}, {}, {}, 5}})
    CHECK_FALSE(matches(which, early));
}
