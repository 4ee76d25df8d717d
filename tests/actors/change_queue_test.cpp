// The order of changes, and many that go together, without any actor.

#include "actors/map/batch.hpp"

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

TEST_CASE("a clearing means retractions, too, that came before and may find no keyframe") {
  change_queue changes;
  const auto before = changes.make(retraction{{"a", "monday"}, 1}), forgets = changes.make(retraction{{"b"}, 1});
  forgets->forgets = true;
  changes.add(before);
  changes.add(forgets);
  const auto clearing = changes.next_number();
  changes.add(changes.make(retraction{{"c"}, 3}));
  CHECK(changes.coming({}, clearing) == std::vector<keyframe_id>{{"a", "monday"}});
  CHECK(changes.coming({"monday", {}, {}, {}, 2}, clearing).size() == 1);
  CHECK(changes.coming({{}, {}, {}, {}, 1}, clearing).empty());
  CHECK(changes.coming({"tuesday", {}, {}}, clearing).empty());
  CHECK(changes.coming({{}, {}, "upstairs"}, clearing).empty());
}

TEST_CASE("a clearing has a few changes under way, and its answer with the last of them") {
  change_queue changes;
  batch_list batches;
  const auto all = batches.add(changes.next_number());
  all->clears.emplace();
  for (const auto* id : {"a", "b", "c"}) {
    const auto c = changes.make(retraction{{id}});
    c->part_of = all;
    ++all->left;
    batches.queue(c);
  }
  CHECK_FALSE(batches.part_done(all)); // all are collected
  const auto a = batches.next(2), b = batches.next(2);
  CHECK(a->id().value == "a");
  CHECK(batches.next(2) == nullptr);
  batches.count(*all, {});
  CHECK_FALSE(batches.part_done(all));
  CHECK(batches.next(2)->id().value == "c");
  batches.count(*all, {outcome::unknown, {}}); // somebody else took it out
  CHECK_FALSE(batches.part_done(all));
  CHECK(!batches.empty());

  SECTION("they are gone") {
    batches.count(*all, {});
    CHECK(batches.part_done(all) == verdict{outcome::accepted, {}, 2});
  }
  SECTION("one could not go") {
    batches.count(*all, {outcome::not_now, "the disk is full"});
    CHECK(batches.part_done(all)
          == verdict{outcome::not_now, "1 keyframes were taken out, and 1 not yet: the disk is full", 1, {0, 0, 0, 1}});
  }
  CHECK(batches.empty());
}

TEST_CASE("a correction tells of each of its keyframes what became of it") {
  change_queue changes;
  batch_list batches;
  const auto all = batches.add(changes.next_number());
  const std::vector<verdict> said{
    {}, {}, {outcome::duplicate, {}}, {outcome::unknown, {}}, {outcome::refused, "too far"}, {outcome::not_now, "full"}};
  all->left += said.size();
  for (size_t i = 0; i < said.size(); ++i)
    batches.queue(changes.make(revision{{std::to_string(i)}, {}}));
  CHECK_FALSE(batches.part_done(all));
  std::optional<verdict> out;
  for (const auto& v : said) {
    REQUIRE(batches.next(1));
    batches.count(*all, v);
    CHECK_FALSE(out);
    out = batches.part_done(all);
  }
  CHECK(out == verdict{outcome::not_now, "2 keyframes were moved, and 1 not yet: full", 2, {1, 1, 1, 1}});
}
