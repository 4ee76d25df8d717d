// Whose turn it is when a map is made again from a store, without any actor.

#include "actors/map/recovery.hpp"

#include <catch2/catch.hpp>

using namespace tessera;

TEST_CASE("a recovery takes the oldest first, a few at a time, and what fails has its turn when the others had theirs") {
  recovery all;
  all.begin({{"a"}, {"b"}, {"c"}, {"d"}});
  CHECK(all.active());
  CHECK(all.next(2)->value == "a");
  CHECK(all.next(2)->value == "b");
  CHECK_FALSE(all.next(2));
  all.again({"a"});
  CHECK(all.next(2)->value == "c");
  all.done({"b"});
  CHECK(all.left() == 3);
  CHECK_FALSE(all.to_come({"b"}));
  CHECK(all.next(2)->value == "d");
  all.done({"c"});
  all.done({"d"});
  CHECK(all.next(2)->value == "a");
  CHECK_FALSE(all.over());
  all.done({"a"});
  CHECK(all.over());
  CHECK(all.active()); // whoever began it ends it
  all.end();
  CHECK_FALSE(all.active());
}

TEST_CASE("what is asked for comes next") {
  recovery all;
  all.begin({{"a"}, {"b"}, {"c"}});
  all.hurry({"c"});
  all.hurry({"of another"});
  CHECK(all.next(3)->value == "c");
  all.hurry({"c"}); // it is under way
  CHECK(all.next(3)->value == "a");
}

TEST_CASE("what viewers look at comes first, what is asked for before that, and what failed last") {
  recovery all;
  all.begin({{"a"}, {"b"}, {"c"}, {"d"}, {"e"}},
            {{{"a"}, {0, 0, 0}}, {{"b"}, {1, 0, 0}}, {{"c"}, {2, 0, 0}}, {{"d"}, {3, 0, 0}}});
  CHECK(all.next(9)->value == "a");
  all.again({"a"});
  all.prefer({{3, 0, 0.5f}, {1, 0, 5}});
  CHECK(all.next(9)->value == "d");
  all.hurry({"b"});
  all.prefer({{2, 0, 0}});
  CHECK(all.next(9)->value == "b");
  CHECK(all.next(9)->value == "c");
  all.prefer({}); // nobody looks any more
  all.hurry({"a"});
  CHECK(all.next(9)->value == "a");
  CHECK(all.next(9)->value == "e");
  CHECK_FALSE(all.next(9));
  recovery by_age;
  by_age.begin({{"a"}, {"b"}, {"c"}}, {{{"b"}, {1, 0, 0}}});
  by_age.prefer({{1, 0, 0}});
  by_age.prefer({});
  CHECK(by_age.next(9)->value == "a");
  CHECK(by_age.next(9)->value == "b");
}

TEST_CASE("what finds no room is tried until all that are left had their turn in vain") {
  recovery all;
  all.begin({{"a"}, {"b"}, {"c"}});
  CHECK(all.next(1)->value == "a");
  CHECK_FALSE(all.in_vain());
  all.again({"a"});
  CHECK(all.next(1)->value == "b");
  all.done({"b"});
  CHECK(all.next(1)->value == "c");
  CHECK_FALSE(all.in_vain());
  all.again({"c"});
  CHECK(all.next(1)->value == "a");
  CHECK(all.in_vain());
  all.leave_out({"a"}, {"shm", "upstairs", 5});
  CHECK(all.is_left_out({"a"}));
  CHECK(all.left_out({{}, "shm", {}}) == std::vector<keyframe_id>{{"a"}});
  CHECK(all.left_out({{}, "http", {}}).empty());
  CHECK(all.left_out({{}, {}, {}, 6}) == std::vector<keyframe_id>{{"a"}});
  CHECK(all.left_out({{}, {}, {}, 5}).empty());
  CHECK(all.next(1)->value == "c");
  CHECK(all.in_vain());
  all.leave_out({"c"}, {"shm", "", 0});
  CHECK(all.over());
  all.forget({"a"});
  CHECK(all.left_out({}) == std::vector<keyframe_id>{{"c"}});
}

TEST_CASE("a recovery of nothing is none") {
  recovery none;
  none.begin({});
  CHECK_FALSE(none.active());
  CHECK(none.over());
}
