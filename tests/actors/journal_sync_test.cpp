// Folders that a journal makes or renames are there after a loss of power: each change is followed by a sync of where it is.

#include "journal_folder.hpp"

#include <catch2/catch.hpp>

#include <sys/syscall.h>
#include <unistd.h>

#include <mutex>
#include <set>

using namespace tessera;
using namespace tessera::toy;

namespace {

std::mutex synced_mutex;
std::set<std::string> synced;

std::set<std::string> synced_until_now() {
  const std::lock_guard lock{synced_mutex};
  return std::exchange(synced, {});
}

} // namespace

/// Instead of the C library's, for the whole program: notes what is synced.
extern "C" int fsync(int fd) {
  std::error_code ignored;
  const auto name = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), ignored).string();
  {
    const std::lock_guard lock{synced_mutex};
    synced.insert(name);
  }
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

TEST_CASE("a journal's new folders, and its new name, are synced where they stand") {
  const temporary_folder folder;
  const auto above = std::filesystem::canonical(folder / "");
  const auto at = [&](const char* name) { return (above / name).lexically_normal().string(); };
  synced_until_now();
  open_store(folder / "a/b/j/");
  auto seen = synced_until_now();
  for (const auto& one : {above.parent_path() / above.filename(), above / "a", above / "a/b"}) {
    CAPTURE(one);
    CHECK(seen.contains(one.string()));
  }
  open_store(folder / "a/b/j");
  CHECK_FALSE(synced_until_now().contains(at("a/b"))); // nothing was made
  REQUIRE(set_journal_aside(folder / "a/b/j"));
  CHECK(synced_until_now().contains(at("a/b")));
}
