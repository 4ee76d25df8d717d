// Which moves of groups are known: all of groups that have keyframes, and the newest of others.

#include "actors/map/group_revisions.hpp"
#include "corrections.hpp"
#include "messages/moved_pose.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;

TEST_CASE("moves of groups without keyframes are known of the newest alone, and all of those with keyframes") {
  group_revisions of;
  of.came("full");
  of.came("full");
  of.came("");
  of.enter("full", 7);
  for (const auto* group : {"a", "b", "c", "a"})
    of.enter(group, 3);
  of.enter("a", 2); // late
  CHECK(of.find("a") == 3u);
  CHECK(of.find("full") == 7u);
  CHECK_FALSE(of.find("never").has_value());
  CHECK_FALSE(of.find("").has_value());
  CHECK(of.idle() == 3);
  of.keep_newest(2);
  CHECK(of.idle() == 2);
  CHECK_FALSE(of.find("b").has_value());
  CHECK(of.find("a") == 3u);
  CHECK(of.find("c") == 3u);
  of.went("full");
  of.keep_newest(0);
  CHECK(of.idle() == 0);
  CHECK_FALSE(of.find("a").has_value());
  CHECK(of.find("full") == 7u);
  of.went("full");
  of.went("full"); // nothing of it is there
  CHECK(of.idle() == 1);
  of.came("full");
  of.keep_newest(0);
  CHECK(of.find("full") == 7u);
}

TEST_CASE("a group that was never moved leaves nothing behind") {
  group_revisions of;
  of.came("a");
  of.went("a");
  CHECK(of.idle() == 0);
  of.enter("a", 1);
  CHECK(of.idle() == 1);
}

TEST_CASE("a service remembers the moves of so many groups that have no keyframe, and of all that have") {
  auto by = std::make_shared<control>();
  auto config = config_for(by);
  config.remembered = 2;
  stepped_service s{config, by};
  auto frames = random_frames(660, 4);
  frames[0].group = frames[1].group = "lived in";
  frames[2].group = "first";
  frames[3].group = "last";
  const auto by_how = a_transform(5);
  const auto moved = [&](const std::string& group) {
    const auto v = correct(s, move_group(group, by_how, 3));
    s.run();
    REQUIRE(v->has_value());
    return (*v)->keyframes;
  };
  put_all(s, {frames[0]});
  CHECK(moved("lived in") == 1);
  for (const auto* group : {"first", "another", "last"})
    CHECK(moved(group) == 0);
  put_all(s, {frames[1], frames[2], frames[3]});
  CHECK(moved("lived in") == 0);
  CHECK(moved("last") == 0);
  CHECK(moved("first") == 1); // nobody knows any more that it was moved
  CHECK(hash_of(s)
        == truth_of({revised(frames[0], moved_pose(by_how, frames[0].world_from_camera)), frames[1],
                     revised(frames[2], moved_pose(by_how, frames[2].world_from_camera)), frames[3]}));
}
