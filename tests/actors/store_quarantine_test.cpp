// What stores remember of keyframes in quarantine; the journal over the end of the process, too.

#include "journal_folder.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using namespace tessera::toy;

namespace {

bool enter(keyframe_store& store, const quarantined_keyframe& what) {
  return asked<bool>([&](auto answer) { store.quarantine(what, answer); }).get();
}

bool release(keyframe_store& store, const keyframe_id& id) {
  return asked<bool>([&](auto answer) { store.release(id, answer); }).get();
}

const quarantined_keyframe first{{"a/b", "monday"}, "shm", "upstairs", 5, "the mesher died", 100, 2};
const quarantined_keyframe second{{"b"}, "http", "", 0, "devices failed", 200, 3};

bool same(const quarantined_keyframe& a, const quarantined_keyframe& b) {
  return a.id == b.id && a.source == b.source && a.group == b.group && a.timestamp_ns == b.timestamp_ns && a.reason == b.reason
         && a.time_ns == b.time_ns && a.deaths == b.deaths;
}

} // namespace

TEST_CASE("stores remember what is in quarantine, whatever becomes of keyframes") {
  const auto in_journal = GENERATE(false, true);
  temporary_folder folder;
  std::shared_ptr<keyframe_store> store;
  if (in_journal)
    store = open_store(folder / "journal");
  else
    store = std::make_shared<spilling_store>(spilling_options{.cap_bytes = 1 << 20, .folder = {}, .own_thread = true});
  CHECK(put(*store, a_frame("b", 10, 1)));
  CHECK(enter(*store, second));
  CHECK(enter(*store, first));
  CHECK(get(*store, {"b"}));
  CHECK(erase(*store, {"b"}));
  REQUIRE(store->quarantined().size() == 2);
  CHECK(same(store->quarantined()[1], first));
  CHECK(release(*store, first.id));
  CHECK_FALSE(release(*store, first.id));
  CHECK_FALSE(release(*store, {"never"}));
  REQUIRE(store->quarantined().size() == 1);
  CHECK(same(store->quarantined()[0], second));
  store->stop();
  if (in_journal)
    CHECK_THROWS(enter(*store, first));
}

TEST_CASE("a journal that is opened again has what was in quarantine, oldest first, and no more than that") {
  temporary_folder folder;
  const auto name = folder / "journal";
  {
    const auto store = open_store(name);
    CHECK(put(*store, a_frame("x", 10, 1)));
    CHECK(enter(*store, second));
    CHECK(enter(*store, first));
    auto again = second;
    again.deaths = 7;
    CHECK(enter(*store, again));
    CHECK(enter(*store, {{"gone"}, "shm", "", 0, "x", 50, 2}));
    CHECK(release(*store, {"gone"}));
  }
  {
    const auto store = open_store(name);
    const auto all = store->quarantined();
    REQUIRE(all.size() == 2);
    CHECK(same(all[0], first));
    CHECK(all[1].deaths == 7);
    CHECK(store->ids().size() == 1);
    CHECK(release(*store, first.id));
    CHECK(release(*store, second.id));
  }
  CHECK(open_store(name)->quarantined().empty());
}

TEST_CASE("a journal forgets the oldest in quarantine for newer ones") {
  temporary_folder folder;
  const auto name = folder / "journal";
  {
    const auto store = open_store(name);
    std::vector<std::future<bool>> done;
    for (size_t i = 0; i <= quarantine_board::capacity; ++i)
      done.push_back(asked<bool>([&](auto answer) {
        store->quarantine({{std::to_string(i)}, "shm", "", 0, "x", 1 + i, 2}, answer);
      }));
    for (auto& one : done)
      CHECK(one.get());
  }
  const auto all = open_store(name)->quarantined();
  REQUIRE(all.size() == quarantine_board::capacity);
  CHECK(all.front().id.value == "1");
}
