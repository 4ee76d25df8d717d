// What every keyframe store does, whatever it keeps them in.

#include "faulty_disk.hpp"
#include "journal_folder.hpp"

#include <catch2/catch.hpp>

#include <map>
#include <random>
#include <thread>

using namespace tessera;
using namespace tessera::toy;

namespace {

/// The stores, one after another: in memory, in a file by the asker's thread and by its own, and in a journal.
struct any_store {
  temporary_folder folder;
  std::shared_ptr<keyframe_store> store;

  explicit any_store(int which) {
    spilling_options how;
    how.cap_bytes = which == 0 ? uint64_t{1} << 30 : which == 1 ? 0 : 50'000;
    how.own_thread = which != 1;
    if (which < 3)
      store = std::make_shared<spilling_store>(how);
    else
      store = open_store(folder / "journal");
  }
};

} // namespace

TEST_CASE("a store gives back what was put in") {
  const auto which = GENERATE(0, 1, 2, 3);
  CAPTURE(which);
  const any_store any{which};
  auto& store = *any.store;
  std::map<std::string, stored_keyframe> model;
  std::mt19937 random{3};
  for (uint32_t step = 0; step < 300; ++step) {
    const auto id = "kf" + std::to_string(random() % 40);
    switch (random() % 4) {
    case 0:
    case 1: {
      auto frame = a_frame(id, random() % 3 == 0 ? 0 : random() % 3000, step);
      CHECK(put(store, frame) == model.emplace(id, frame).second);
      break;
    }
    case 2:
      CHECK(erase(store, {id}) == (model.erase(id) > 0));
      break;
    default: {
      pose moved;
      moved.m[7] = static_cast<float>(step);
      const auto known = model.find(id);
      CHECK(set_pose(store, {id}, moved) == (known != model.end()));
      if (known != model.end())
        known->second.world_from_camera = moved;
    }
    }
    CHECK(get(store, {id}).has_value() == model.contains(id));
  }
  size_t visited = 0;
  uint64_t rays = 0;
  for (const auto& id : store.ids()) {
    const auto found = get(store, id);
    if (!found)
      continue; // one that was asked for last
    ++visited;
    const auto& expected = model.at(id.value);
    rays += found->rays.rays->size();
    CHECK(*found->rays.rays == *expected.rays.rays);
    CHECK(found->world_from_camera == expected.world_from_camera);
    CHECK(found->timestamp_ns == expected.timestamp_ns);
  }
  CHECK(visited == model.size());
  CHECK(store.usage().keyframes == model.size());
  CHECK(store.usage().rays == rays);
  CHECK_FALSE(get(store, {"never seen"}));
}

TEST_CASE("a store keeps what tells keyframes apart, and their order") {
  const auto which = GENERATE(0, 1, 2, 3);
  CAPTURE(which);
  const any_store any{which};
  auto frame = a_frame("kf", 100, 1);
  frame.id.session = "monday";
  frame.came_with.m[3] = 7;
  frame.received_ns = 5;
  frame.source = "shm";
  frame.group = "upstairs";
  put(*any.store, frame);
  put(*any.store, a_frame("a", 10, 2));
  put(*any.store, a_frame("z", 10, 3));
  CHECK(any.store->ids() == std::vector<keyframe_id>{frame.id, {"a"}, {"z"}});
  CHECK_FALSE(get(*any.store, {"kf"})); // of another session
  set_pose(*any.store, frame.id, {});
  const auto found = get(*any.store, frame.id);
  REQUIRE(found);
  CHECK(found->came_with == frame.came_with);
  CHECK(found->world_from_camera == pose{});
  CHECK(found->timestamp_ns == frame.timestamp_ns);
  CHECK(found->received_ns == 5);
  CHECK(found->source == "shm");
  CHECK(found->group == "upstairs");
  CHECK_FALSE(found->revision);
}

TEST_CASE("a store keeps the numbers of revisions, and the largest of each group") {
  const auto which = GENERATE(0, 1, 2, 3);
  CAPTURE(which);
  const any_store any{which};
  auto& store = *any.store;
  const std::vector<std::pair<std::string, std::string>> ids{{"a", "upstairs"}, {"b", "upstairs"}, {"c", "cellar"}, {"d", ""}};
  uint32_t seed = 0;
  for (const auto& [id, group] : ids) {
    auto frame = a_frame(id, 50, ++seed);
    frame.group = group;
    if (id == "b")
      frame.revision = 7; // its group was moved before it came
    put(store, frame);
  }
  CHECK(store.group_revisions() == std::map<std::string, uint64_t>{{"upstairs", 7}});
  CHECK(set_place(store, {"a"}, {{}, 8}));
  CHECK(set_place(store, {"c"}, {{}, ~0ull}));
  CHECK(set_place(store, {"d"}, {{}, 3}));
  CHECK_FALSE(set_place(store, {"e"}, {{}, 3}));
  CHECK(get(store, {"a"})->revision == 8u);
  CHECK(get(store, {"b"})->revision == 7u);
  CHECK(get(store, {"d"})->revision == 3u);
  CHECK(store.group_revisions() == std::map<std::string, uint64_t>{{"upstairs", 8}, {"cellar", ~0ull}});
  CHECK(erase(store, {"a"}));
  CHECK(erase(store, {"c"}));
  CHECK(store.group_revisions() == std::map<std::string, uint64_t>{{"upstairs", 7}});
}

TEST_CASE("what is asked about one keyframe, without waiting, is done and answered in order") {
  const auto which = GENERATE(0, 1, 2, 3);
  CAPTURE(which);
  const any_store any{which};
  auto first = ask_put(*any.store, a_frame("a", 3000, 2));
  auto gone = ask_erase(*any.store, {"a"});
  auto nothing = ask_get(*any.store, {"a"});
  auto second = ask_put(*any.store, a_frame("a", 3000, 3));
  auto other = ask_put(*any.store, a_frame("b", 3000, 5));
  auto third = ask_put(*any.store, a_frame("a", 3000, 4));
  auto found = ask_get(*any.store, {"a"});
  auto gone_too = ask_erase(*any.store, {"a"});
  CHECK(gone_too.get());
  for (auto* one : {&first, &gone, &second, &third})
    REQUIRE(is_answered(*one));
  REQUIRE(is_answered(nothing));
  REQUIRE(is_answered(found));
  CHECK(first.get());
  CHECK(gone.get());
  CHECK_FALSE(nothing.get());
  CHECK(second.get());
  CHECK_FALSE(third.get());
  CHECK(same(found.get(), a_frame("a", 3000, 3)));
  CHECK(other.get());
}

TEST_CASE("a store that has ended says so, and did what it was asked before") {
  const auto which = GENERATE(0, 1, 2, 3);
  CAPTURE(which);
  const any_store any{which};
  std::vector<std::future<bool>> stored;
  for (uint32_t i = 0; i < 20; ++i)
    stored.push_back(ask_put(*any.store, a_frame("kf" + std::to_string(i), 2000, i)));
  any.store->stop();
  for (auto& one : stored) {
    REQUIRE(is_answered(one));
    CHECK(one.get());
  }
  CHECK(any.store->usage().keyframes == 20);
  CHECK_THROWS_AS(put(*any.store, a_frame("late", 10, 9)), std::runtime_error);
}

TEST_CASE("a store remembers retractions of what never came, and not of what was there") {
  const auto which = GENERATE(0, 1, 2, 3);
  CAPTURE(which);
  const any_store any{which};
  auto& store = *any.store;
  put(store, a_frame("here", 1000, 1));
  put(store, a_frame("went", 1000, 2));
  erase(store, {"went"});
  CHECK(remember(store, {{"a"}, 7}));
  CHECK(remember(store, {{"b", "monday"}, 8}));
  CHECK_FALSE(remember(store, {{"a"}, 9})); // again
  CHECK_FALSE(remember(store, {{"here"}, 9}));
  CHECK_FALSE(remember(store, {{"went"}, 9}));
  CHECK(store.retracted({"a"})->admission == 7);
  for (const auto* id : {"b", "here", "went"})
    CHECK_FALSE(store.retracted({id}));
  REQUIRE(store.retractions().size() == 2);
  CHECK(store.retractions()[1].id == keyframe_id{"b", "monday"});
  CHECK(store.usage().retractions == 2);
  CHECK(store.usage().keyframes == 1);
  CHECK(forget_retraction(store, {"a"}));
  CHECK_FALSE(forget_retraction(store, {"a"}));
  CHECK_FALSE(forget_retraction(store, {"went"}));
  CHECK_FALSE(store.retracted({"a"}));
  CHECK(put(store, a_frame("a", 10, 3)));
  CHECK(erase(store, {"a"}));
  CHECK_FALSE(remember(store, {{"a"}, 10}));
  CHECK(store.retractions().size() == 1);
}

TEST_CASE("a store knows the place in which a keyframe was offered to this process") {
  const auto which = GENERATE(0, 1, 2, 3);
  CAPTURE(which);
  const any_store any{which};
  auto frame = a_frame("kf", 100, 1);
  frame.admission = 41;
  put(*any.store, frame);
  CHECK(get(*any.store, frame.id)->admission == 41);
}

TEST_CASE("threads that ask a store about keyframes of their own do not see each other") {
  const auto which = GENERATE(0, 2, 3);
  CAPTURE(which);
  const any_store any{which};
  std::atomic<int> wrong{0};
  {
    std::vector<std::jthread> askers;
    for (uint32_t asker = 0; asker < 4; ++asker)
      askers.emplace_back([&, asker] {
        std::mt19937 random{asker};
        std::map<std::string, stored_keyframe> model;
        for (uint32_t step = 0; step < 100; ++step) {
          const auto id = std::to_string(asker) + "/" + std::to_string(random() % 6);
          const auto known = model.contains(id);
          switch (random() % 3) {
          case 0: {
            auto frame = a_frame(id, random() % 2000, step);
            wrong += put(*any.store, frame) == known;
            model.emplace(id, std::move(frame));
            break;
          }
          case 1:
            wrong += erase(*any.store, {id}) != known;
            model.erase(id);
            break;
          default:
            wrong += known ? !same(get(*any.store, {id}), model.at(id)) : get(*any.store, {id}).has_value();
          }
        }
        for (const auto& [id, frame] : model)
          wrong += !same(get(*any.store, {id}), frame) || !erase(*any.store, {id});
      });
  }
  CHECK(wrong == 0);
  CHECK(any.store->usage().keyframes == 0);
  CHECK(any.store->usage().rays == 0);
  if (which != 3) { // a journal has buffers, and gives back what is worth it
    CHECK(any.store->usage().memory_bytes == 0);
    CHECK(any.store->usage().disk_bytes == 0);
  }
}
