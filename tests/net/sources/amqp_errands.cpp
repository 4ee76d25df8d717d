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

} // namespace

TEST_CASE("messages of one id go one after another, those of others beside them") {
  errand_lanes lanes;
  auto first = about("a"), second = about("a"), third = about("a"), other = about("b"), elsewhere = about("a", "tuesday");
  CHECK(lanes.enter(first));
  CHECK_FALSE(lanes.enter(second));
  CHECK_FALSE(lanes.enter(third));
  CHECK(lanes.enter(other));
  CHECK(lanes.enter(elsewhere));
  CHECK(lanes.leave(third) == nullptr); // it is not its turn
  CHECK(lanes.leave(first) == second);
  CHECK(lanes.leave(first) == nullptr);
  CHECK(lanes.leave(second) == third);
  CHECK(lanes.leave(third) == nullptr);
  CHECK(lanes.enter(first));
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
  CHECK(lanes.leave(next) == nullptr);
}

TEST_CASE("those that wait behind one can be taken out, in their order") {
  errand_lanes lanes;
  auto first = about("a"), second = about("a"), third = about("a");
  lanes.enter(first);
  lanes.enter(second);
  lanes.enter(third);
  CHECK(lanes.clear({"a"}) == std::deque{second, third});
  CHECK(lanes.clear({"b"}).empty());
  CHECK(lanes.leave(first) == nullptr);
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
