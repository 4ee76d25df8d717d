#include "net/sources/amqp/amqp_errands.hpp"

#include <catch2/catch.hpp>

using namespace tessera;

namespace {

errand_ptr about(const char* id, const char* session = "") {
  auto e = std::make_shared<errand>();
  e->note.id = {id, session};
  e->understood = true;
  return e;
}

errand_ptr about_many() {
  auto e = about("");
  e->note.what = notification::type::revise;
  e->note.many.emplace();
  return e;
}

} // namespace

TEST_CASE("messages of one id go one after another, those of others beside them") {
  errand_lanes lanes;
  auto first = about("a"), second = about("a"), third = about("a"), other = about("b"), elsewhere = about("a", "tuesday");
  CHECK(lanes.enter(first));
  CHECK_FALSE(lanes.enter(second));
  CHECK_FALSE(lanes.enter(third));
  CHECK(lanes.enter(other));
  CHECK(lanes.enter(elsewhere));
  CHECK(lanes.leave(third).empty()); // it is not its turn
  CHECK(lanes.leave(first) == std::vector{second});
  CHECK(lanes.leave(first).empty());
  CHECK(lanes.leave(second) == std::vector{third});
  CHECK(lanes.leave(third).empty());
  CHECK(lanes.enter(first));
}

TEST_CASE("one about many goes after all before it, and before all after it") {
  errand_lanes lanes;
  auto a = about("a"), second = about("a"), b = about("b"), many = about_many(), next = about_many(), c = about("c"),
       d = about("d"), third = about("a");
  CHECK(lanes.enter(a));
  CHECK(lanes.enter(b));
  CHECK_FALSE(lanes.enter(second));
  CHECK_FALSE(lanes.enter(many));
  for (const auto& later : {c, next, third, d})
    CHECK_FALSE(lanes.enter(later));
  CHECK(lanes.leave(a) == std::vector{second});
  CHECK(lanes.leave(b).empty());
  CHECK(lanes.leave(second) == std::vector{many});
  CHECK(lanes.leave(many) == std::vector{c});
  CHECK(lanes.leave(c) == std::vector{next});
  CHECK(lanes.leave(next) == std::vector{third, d});
  CHECK(lanes.leave(d).empty());
  CHECK(lanes.leave(third).empty());
  CHECK(lanes.enter(many));
}

TEST_CASE("what waits for one that goes back to the broker goes back with it") {
  errand_lanes lanes;
  auto a = about("a"), second = about("a"), many = about_many(), later = about("b");
  CHECK(lanes.enter(a));
  for (const auto& one : {second, many, later})
    CHECK_FALSE(lanes.enter(one));
  CHECK(lanes.clear({"a"}) == std::deque{second, many, later});
  CHECK(lanes.leave(a).empty());
  CHECK(lanes.enter(later));
}

TEST_CASE("an errand that was dropped holds up nobody") {
  errand_lanes lanes;
  auto next = about("a");
  {
    auto dropped = about("a");
    CHECK(lanes.enter(dropped));
  }
  CHECK(lanes.enter(next));
  CHECK_FALSE(lanes.enter(about("a")));
  lanes.clear();
  CHECK(lanes.leave(next).empty());
}

TEST_CASE("those that wait behind one can be taken out, in their order") {
  errand_lanes lanes;
  auto first = about("a"), second = about("a"), third = about("a");
  lanes.enter(first);
  lanes.enter(second);
  lanes.enter(third);
  CHECK(lanes.clear({"a"}) == std::deque{second, third});
  CHECK(lanes.clear({"b"}).empty());
  CHECK(lanes.leave(first).empty());
}

TEST_CASE("a message is remembered until its keyframe is taken out, or so many others came") {
  recent_ids recent(2);
  recent.add({"a"}, 1);
  CHECK(recent.contains({"a"}, 1));
  CHECK_FALSE(recent.contains({"a"}, 2)); // another message of the same id
  CHECK_FALSE(recent.contains({"a", "tuesday"}, 1));
  recent.remove({"a"});
  CHECK_FALSE(recent.contains({"a"}, 1));
  recent.add({"a"}, 3);
  recent.add({"b"}, 4);
  CHECK(recent.contains({"a"}, 3));
  recent.add({"c"}, 5);
  CHECK_FALSE(recent.contains({"a"}, 3));
  CHECK(recent.contains({"b"}, 4));
  CHECK(recent.contains({"c"}, 5));
}

TEST_CASE("a message that comes again is a repetition if it comes soon, or if the broker says so") {
  errand_desk desk;
  const auto first = about("a");
  desk.remember(*first);
  CHECK(desk.remembers(*about("a")));
  const auto later = about("a"); // its keyframe may have been taken out by then, by another way
  later->received += std::chrono::minutes(2);
  CHECK_FALSE(desk.remembers(*later));
  later->message.redelivered = true;
  CHECK(desk.remembers(*later));
  desk.forget({"a"});
  CHECK_FALSE(desk.remembers(*later));
}
