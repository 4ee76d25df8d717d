// The order of changes, and many that go together, without any actor.

#include "actors/map/clearing.hpp"

#include <catch2/catch.hpp>

using namespace tessera;

namespace {

keyframe keyframe_named(const char* id) {
  keyframe out;
  out.id.value = id;
  return out;
}

} // namespace

TEST_CASE("changes of one id are done one after another, those of different ids side by side") {
  change_queue changes;
  const auto first = changes.make(keyframe_named("a")), other = changes.make(keyframe_named("b")),
             second = changes.make(revision{{"a"}, {}});
  CHECK(changes.add(first));
  CHECK(changes.add(other));
  CHECK_FALSE(changes.add(second));
  CHECK(changes.firsts() == std::vector{first, other});
  CHECK_FALSE(changes.done(1));
  CHECK(changes.finish(*other) == nullptr);
  CHECK(changes.finish(*first) == second);
  CHECK(changes.done(2));
  CHECK_FALSE(changes.done(3));
  CHECK(changes.size() == 1);
  CHECK(changes.finish(*second) == nullptr);
  CHECK(changes.done(changes.numbered()));
  CHECK(changes.add(changes.make(keyframe_named("a"))));
}

TEST_CASE("a clearing's change comes behind what came before the clearing, and ahead of what came after it") {
  change_queue changes;
  const auto before = changes.make(keyframe_named("a"));
  before->frame().source = "shm";
  changes.add(before);
  const auto clearing = changes.next_number();
  const auto after = changes.make(keyframe_named("a")), alone = changes.make(keyframe_named("b"));
  changes.add(after);
  changes.add(alone);
  CHECK(changes.coming({}, clearing) == std::vector<keyframe_id>{{"a"}});
  CHECK(changes.coming({{}, "http", {}}, clearing).empty());
  const auto part = changes.make(retraction{{"a"}});
  CHECK_FALSE(changes.add(part, clearing));
  CHECK(changes.finish(*before) == part);
  CHECK(changes.finish(*part) == after);
}

TEST_CASE("a clearing has a few changes under way, and its answer with the last of them") {
  change_queue changes;
  clearing_list clearings;
  const auto all = clearings.add({}, changes.next_number());
  for (const auto* id : {"a", "b", "c"}) {
    const auto c = changes.make(retraction{{id}});
    c->part_of = all;
    ++all->left;
    clearings.queue(c);
  }
  CHECK_FALSE(clearings.part_done(all)); // all are collected
  const auto a = clearings.next(2), b = clearings.next(2);
  CHECK(a->id().value == "a");
  CHECK(clearings.next(2) == nullptr);
  clearings.count(*all, {});
  CHECK_FALSE(clearings.part_done(all));
  CHECK(clearings.next(2)->id().value == "c");
  clearings.count(*all, {outcome::unknown, {}}); // somebody else took it out
  CHECK_FALSE(clearings.part_done(all));
  CHECK(clearings.all() == std::vector{all});

  SECTION("they are gone") {
    clearings.count(*all, {});
    CHECK(clearings.part_done(all) == verdict{outcome::accepted, {}, 2});
  }
  SECTION("one could not go") {
    clearings.count(*all, {outcome::not_now, "the disk is full"});
    CHECK(clearings.part_done(all)
          == verdict{outcome::not_now, "1 keyframes were taken out, and 1 not yet: the disk is full", 1});
  }
  CHECK(clearings.all().empty());
}
