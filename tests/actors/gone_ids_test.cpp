// Which ids are known of that have no keyframe: bounded, the oldest go first.

#include "actors/store/gone_ids.hpp"

#include <catch2/catch.hpp>

using namespace tessera;

namespace {

using numbers = std::vector<uint64_t>;

std::vector<std::string> names(const gone_ids& of) {
  std::vector<std::string> out;
  for (const auto& one : of.retractions())
    out.push_back(shown(one.id));
  return out;
}

} // namespace

TEST_CASE("of each kind of ids that are gone so many are known, and the oldest go first") {
  gone_ids gone{2};
  numbers dropped;
  CHECK(gone.enter({"a"}, gone_kind::retracted, 5, dropped) == 1);
  CHECK(gone.enter({"a", "monday"}, gone_kind::retracted, 6, dropped) == 2);
  CHECK(gone.enter({"x"}, gone_kind::went, 0, dropped) == 3);
  CHECK(dropped.empty());
  CHECK(gone.find({"a"})->admission == 5);
  CHECK(gone.is({"x"}, gone_kind::went));
  CHECK_FALSE(gone.is({"x"}, gone_kind::retracted));
  CHECK(gone.find({"x", "monday"}) == nullptr);
  CHECK(names(gone) == std::vector<std::string>{"a", "monday/a"});
  gone.enter({"b"}, gone_kind::retracted, 7, dropped);
  CHECK(dropped == numbers{1});
  CHECK(gone.let_go() == 1);
  CHECK(names(gone) == std::vector<std::string>{"monday/a", "b"});
  gone.enter({"y"}, gone_kind::went, 0, dropped);
  gone.enter({"z"}, gone_kind::went, 0, dropped); // no retraction goes for it
  CHECK(dropped == numbers{1, 3});
  CHECK(gone.let_go() == 1);
  CHECK(gone.count(gone_kind::went) == 2);
  CHECK(gone.count(gone_kind::retracted) == 2);
}

TEST_CASE("an id that is entered again is the newest, of its new kind") {
  gone_ids gone{2};
  numbers dropped;
  gone.enter({"a"}, gone_kind::retracted, 1, dropped);
  gone.enter({"b"}, gone_kind::retracted, 2, dropped);
  CHECK(gone.enter({"a"}, gone_kind::retracted, 3, dropped) == 3);
  CHECK(dropped == numbers{1});
  CHECK(names(gone) == std::vector<std::string>{"b", "a"});
  gone.enter({"b"}, gone_kind::went, 0, dropped);
  CHECK(dropped == numbers{1, 2});
  CHECK(names(gone) == std::vector<std::string>{"a"});
  gone.erase({"a"});
  gone.erase({"a"});
  CHECK(names(gone).empty());
  CHECK(gone.find({"a"}) == nullptr);
  CHECK(gone.let_go() == 0);
}

TEST_CASE("ids that are gone keep the numbers that they had, and where none are to be known none are") {
  gone_ids gone{10};
  numbers dropped;
  CHECK(gone.enter({"a"}, gone_kind::retracted, 0, dropped, 41) == 41);
  CHECK(gone.enter({"b"}, gone_kind::retracted, 0, dropped) == 42);
  gone_ids none{0};
  CHECK(none.enter({"a"}, gone_kind::retracted, 1, dropped) == 0);
  CHECK(none.find({"a"}) == nullptr);
  CHECK(dropped.empty());
}
