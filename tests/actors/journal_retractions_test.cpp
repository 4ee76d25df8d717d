// Retractions of keyframes that never came are in the journal: bounded, and there again when it is opened again.

#include "journal_folder.hpp"
#include "messages/archive.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;

namespace {

std::shared_ptr<journal_store> remembering(const std::string& folder, size_t most) {
  return std::make_shared<journal_store>(std::make_shared<journal>(folder, journal_memory), log_function{}, most);
}

std::vector<std::string> retracted_in(const keyframe_store& store) {
  std::vector<std::string> out;
  for (const auto& one : store.retractions())
    out.push_back(shown(one.id));
  return out;
}

using names = std::vector<std::string>;

} // namespace

TEST_CASE("records of ids that are gone come back as they were written, and nothing else does") {
  for (const auto kind : {gone_kind::went, gone_kind::retracted}) {
    const gone_id gone{{"an id", "monday"}, kind};
    const auto bytes = gone_record(gone);
    CHECK(read_gone_record(bytes) == gone);
    for (size_t length = 0; length < bytes.size(); ++length)
      CHECK_THROWS_AS(read_gone_record(std::span{bytes}.first(length)), archive_error);
    auto newer = bytes;
    newer[1] = std::byte{9};
    CHECK(says(told([&] { read_gone_record(newer); }), {"gone", "version 9", "knows 1"}));
    auto odd = bytes;
    odd.back() = std::byte{2};
    CHECK_THROWS_AS(read_gone_record(odd), archive_error);
  }
}

TEST_CASE("a journal that is opened again knows what was retracted before it came, and what had been there") {
  const temporary_folder folder;
  const auto path = folder / "j";
  {
    const auto store = open_store(path);
    put(*store, whole("went", 100, 1));
    erase(*store, {"went"});
    CHECK(remember(*store, {{"a"}, 5}));
    CHECK(remember(*store, {{"a", "monday"}, 6}));
    CHECK(remember(*store, {{"b"}, 7}));
    CHECK(forget_retraction(*store, {"b"}));
  }
  for (int again = 0; again < 2; ++again) {
    const auto store = open_store(path);
    CHECK(retracted_in(*store) == names{"a", "monday/a"});
    CHECK(store->retracted({"a"})->admission == 0); // before all that is offered to this process
    CHECK_FALSE(remember(*store, {{"went"}, 1}));
    CHECK_FALSE(remember(*store, {{"a"}, 1}));
  }
  CHECK(journal(path, journal_memory, journal::access::look).gone().size() == 3);
}

TEST_CASE("of retractions a journal keeps the newest, in their order, also if fewer are to be kept than before") {
  const temporary_folder folder;
  const auto path = folder / "j";
  {
    const auto store = remembering(path, 3);
    for (const auto* id : {"a", "b", "c", "d", "e"})
      CHECK(remember(*store, {{id}, 1}));
    CHECK(retracted_in(*store) == names{"c", "d", "e"});
    CHECK(store->usage().retractions_let_go == 2);
  }
  {
    const auto store = remembering(path, 3);
    CHECK(retracted_in(*store) == names{"c", "d", "e"});
    CHECK(remember(*store, {{"f"}, 1}));
  }
  {
    const auto store = remembering(path, 2);
    CHECK(retracted_in(*store) == names{"e", "f"});
  }
  CHECK(journal(path, journal_memory, journal::access::look).gone().size() == 2);
  {
    const auto store = remembering(path, 0);
    CHECK(retracted_in(*store).empty());
    CHECK_FALSE(remember(*store, {{"g"}, 1}));
    put(*store, whole("kf", 10, 1));
    CHECK(erase(*store, {"kf"}));
  }
  CHECK(journal(path, journal_memory, journal::access::look).gone().empty());
}

TEST_CASE("retractions, keyframes and what forgets both are written together, many at once") {
  const temporary_folder folder;
  const auto path = folder / "j";
  {
    const auto store = remembering(path, 500);
    std::vector<std::future<bool>> answers;
    for (int i = 0; i < 200; ++i) {
      const auto id = std::to_string(i);
      answers.push_back(asked<bool>([&](auto answer) { store->remember({{id}, 1}, answer); }));
      answers.push_back(ask_put(*store, whole("kf" + id, 10, 1)));
      answers.push_back(ask_erase(*store, {"kf" + id}));
      if (i % 2 == 0)
        answers.push_back(asked<bool>([&](auto answer) { store->forget_retraction({id}, answer); }));
    }
    for (auto& one : answers)
      CHECK(one.get());
  }
  const auto store = remembering(path, 50);
  names wanted;
  for (int i = 101; i < 200; i += 2)
    wanted.push_back(std::to_string(i));
  CHECK(retracted_in(*store) == wanted);
  CHECK_FALSE(remember(*store, {{"kf199"}, 1}));
  CHECK(remember(*store, {{"kf1"}, 1})); // that it was there is forgotten by now
}
