// A journal on a disk that is full: what it says, what it still does, and that it goes on when there is room.

#include "hidden_test.hpp"
#include "journal_folder.hpp"

#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>

using namespace tessera;
using namespace tessera::toy;

namespace {

/// Has a hidden test run with a disk of 40 MB of its own. Where this user may mount none, a warning is all.
void run_on_small_disk(const char* test) {
  const temporary_folder folder;
  const auto disk = folder / "disk";
  std::filesystem::create_directory(disk);
  const auto child = start(test, disk, [&] {
    return ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0
           && ::mount("none", disk.c_str(), "tmpfs", 0, "size=40m") == 0;
  });
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == cannot_start)
    WARN("skipped: a small file system can only be mounted by root");
  else
    CHECK((status == 0 && std::filesystem::exists(folder / "ended")));
}

} // namespace

TEST_CASE("a journal that has no room to be compacted says so, and is compacted when it has") {
  run_on_small_disk("(is compacted on a full disk)");
}

TEST_CASE("(is compacted on a full disk)", "[.]") {
  const auto disk = child_folder().string();
  journal kept{disk + "/j", journal_memory};
  put_and_erase(kept, 45);
  std::ofstream{disk + "/others", std::ios::binary} << std::string(size_t{12} << 20, 'x');
  const auto before = kept.disk_bytes();
  CHECK(says(told([&] { kept.compact(); }), {"cannot be compacted", "No space left"}));
  std::filesystem::remove(disk + "/others");
  CHECK(kept.compact());
  CHECK(kept.disk_bytes() < before);
  for (uint64_t number = 3; number <= 45; number += 3)
    CHECK(same(kept.read(number), whole(std::to_string(number), 25'000, static_cast<uint32_t>(number))));
  note_the_end();
}

TEST_CASE("a journal whose disk is full takes no more, gives and forgets what it has, and takes again when there is room") {
  run_on_small_disk("(fills its disk)");
}

TEST_CASE("(fills its disk)", "[.]") {
  const auto disk = child_folder().string();
  const auto store = open_store(disk + "/j");
  const auto put_told = [&](const std::string& id, uint32_t seed) { return told([&] { put(*store, whole(id, 50'000, seed)); }); };
  uint32_t held = 0;
  std::string text;
  for (; held < 100 && (text = put_told(std::to_string(held), held)).empty();)
    ++held;
  CHECK(held >= 5);
  CHECK(says(text, {"takes no more", "No space left"}));
  for (uint32_t i = 0; i < held; ++i)
    CHECK(same(get(*store, {std::to_string(i)}), whole(std::to_string(i), 50'000, i)));
  pose moved;
  moved.m[3] = 4;
  CHECK(set_pose(*store, {"0"}, moved));
  CHECK(erase(*store, {"1"}));

  // Others take the rest, so that nothing at all can be written.
  {
    std::ofstream out{disk + "/others", std::ios::binary};
    const std::string piece(4096, 'x');
    while (out << piece << std::flush)
      ;
  }
  CHECK_FALSE(put_told("no", 1).empty());
  std::vector<std::future<bool>> gone; // the first may fit into pages that were given out already
  for (uint32_t i = 2; i < 5; ++i)
    gone.push_back(ask_erase(*store, {std::to_string(i)}));
  for (uint32_t i = 0; i < 500; ++i)
    gone.push_back(asked<bool>([&](auto answer) { store->set_place({"0"}, {moved}, answer); }));
  CHECK(same(get(*store, {"5"}), whole("5", 50'000, 5)));
  CHECK_FALSE(is_answered(gone.back()));
  std::filesystem::remove(disk + "/others");
  for (auto& one : gone)
    CHECK(one.get());
  REQUIRE(::mount("none", disk.c_str(), "tmpfs", MS_REMOUNT, "size=100m") == 0);
  CHECK(put_told("next", 9).empty());
  CHECK(same(get(*store, {"next"}), whole("next", 50'000, 9)));
  CHECK_FALSE(get(*store, {"no"}));
  note_the_end();
}

TEST_CASE("a journal that was full holds what was answered when it is opened again") {
  run_on_small_disk("(fills its disk and ends)");
}

TEST_CASE("(fills its disk and ends)", "[.]") {
  const auto path = (child_folder() / "j").string();
  uint32_t held = 0;
  {
    const auto store = open_store(path);
    while (held < 100 && told([&] { put(*store, whole(std::to_string(held), 50'000, held)); }).empty())
      ++held;
  }
  const auto store = open_store(path);
  CHECK(store->usage().keyframes == held);
  for (const auto& id : store->ids())
    CHECK(get(*store, id));
  note_the_end();
}
