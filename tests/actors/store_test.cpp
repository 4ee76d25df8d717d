#include "faulty_disk.hpp"

#include <catch2/catch.hpp>

#include <csignal>
#include <filesystem>
#include <functional>
#include <map>
#include <random>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <system_error>
#include <unistd.h>

using namespace tessera;
using namespace tessera::toy;

namespace {

spilling_options options(uint64_t cap_bytes, std::string folder, bool own_thread = true) {
  spilling_options out;
  out.cap_bytes = cap_bytes;
  out.folder = std::move(folder);
  out.own_thread = own_thread;
  return out;
}

std::string temporary_folder() {
  return std::filesystem::temp_directory_path().string();
}

/// What the store's file really takes of the disk, in bytes: it has no name, but it is open.
uint64_t space_held() {
  uint64_t held = 0;
  for (const auto& one : std::filesystem::directory_iterator{"/proc/self/fd"}) {
    std::error_code gone;
    const auto target = std::filesystem::read_symlink(one.path(), gone).string();
    struct stat file {};
    if (!gone && target.ends_with(" (deleted)") && ::stat(one.path().c_str(), &file) == 0 && S_ISREG(file.st_mode))
      held += static_cast<uint64_t>(file.st_blocks) * 512;
  }
  return held;
}

/// Runs the test in a process of its own, for what cannot be undone; answers its exit status: 0 if all was well.
int in_a_child(const std::function<int()>& test) {
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int failed = 100;
    try {
      failed = test();
    } catch (...) {
      failed = 101;
    }
    ::_exit(failed);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 102;
}

constexpr int cannot_mount = 77;

} // namespace

TEST_CASE("a store gives back what was put in, from memory and from its file") {
  const bool own_thread = GENERATE(false, true);
  for (uint64_t cap : {uint64_t{0}, uint64_t{50'000}, uint64_t{1} << 30}) {
    INFO("cap " << cap << ", own thread " << own_thread);
    spilling_store store{options(cap, temporary_folder(), own_thread)};
    std::map<std::string, stored_keyframe> model;
    std::mt19937 random{3};
    for (uint32_t step = 0; step < 600; ++step) {
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
      const auto& frame = *found;
      const auto& expected = model.at(id.value);
      rays += frame.rays.rays->size();
      CHECK(*frame.rays.rays == *expected.rays.rays);
      CHECK(frame.world_from_camera == expected.world_from_camera);
      CHECK(frame.timestamp_ns == expected.timestamp_ns);
    }
    CHECK(visited == model.size());
    const auto usage = store.usage();
    CHECK(usage.keyframes == model.size());
    CHECK(usage.rays == rays);
    CHECK(usage.memory_bytes <= cap + model.size() * 300);
    CHECK_FALSE(get(store, {"never seen"}));
  }
}

TEST_CASE("the file is no larger than what lives in it, however often keyframes come and go") {
  spilling_store store{options(0, "")};
  for (uint32_t i = 0; i < 10; ++i)
    put(store, a_frame("kf" + std::to_string(i), 5000, i));
  const auto full = store.usage().disk_bytes;
  CHECK(full >= 10 * 5000 * sizeof(ray));
  CHECK(full <= 10 * (5000 * sizeof(ray) + page_file::page_bytes));
  for (uint32_t round = 0; round < 50; ++round) {
    const auto id = "kf" + std::to_string(round % 10);
    erase(store, {id});
    put(store, a_frame(id, 5000, round));
    CHECK(store.usage().disk_bytes <= full);
  }
  for (const auto& id : store.ids())
    erase(store, id);
  CHECK(store.usage().disk_bytes == 0);
  CHECK(store.usage().rays == 0);
}

TEST_CASE("the oldest keyframes leave memory first") {
  spilling_store store{options(3 * 1000 * sizeof(ray), "")};
  for (uint32_t i = 0; i < 3; ++i)
    put(store, a_frame("kf" + std::to_string(i), 1000, i));
  CHECK(store.usage().disk_bytes == 0);
  put(store, a_frame("kf3", 1000, 3));
  CHECK(store.usage().disk_bytes == page_file::page_bytes);
  CHECK(store.ids() == std::vector<keyframe_id>{{"kf0"}, {"kf1"}, {"kf2"}, {"kf3"}});
}

TEST_CASE("a folder that cannot be written is an error at the start") {
  CHECK_THROWS_AS(spilling_store(options(0, "/no/such/folder")), std::system_error);
}

TEST_CASE("what is freed in the middle of the file is the file system's again, and the numbers say what is held") {
  const auto before = space_held();
  spilling_store store{options(0, temporary_folder())};
  constexpr uint32_t count = 16;
  for (uint32_t i = 0; i < count; ++i)
    put(store, a_frame("kf" + std::to_string(i), 4 * page_file::page_bytes / sizeof(ray), i));
  const auto full = store.usage().disk_bytes;
  CHECK(full == count * 4 * page_file::page_bytes);
  CHECK(space_held() - before >= full);
  for (uint32_t i = 0; i + 1 < count; ++i) // all but the last one in the file
    erase(store, {"kf" + std::to_string(i)});
  CHECK(store.usage().disk_bytes == 4 * page_file::page_bytes);
  CHECK(space_held() - before <= 8 * page_file::page_bytes); // file systems round
  CHECK(same(get(store, {"kf15"}), a_frame("kf15", 4 * page_file::page_bytes / sizeof(ray), 15)));
  for (uint32_t i = 0; i < 4; ++i) // holes are filled again
    put(store, a_frame("new" + std::to_string(i), 100, 50 + i));
  CHECK(store.usage().disk_bytes == 8 * page_file::page_bytes);
  for (uint32_t i = 0; i < 4; ++i)
    CHECK(same(get(store, {"new" + std::to_string(i)}), a_frame("new" + std::to_string(i), 100, 50 + i)));
}

TEST_CASE("a disk that fails is an error, and nothing that was stored is lost") {
  // A file size limit makes writes fail as a full disk would; the limit of the process cannot be raised again without rights, so
  // a child tests it.
  CHECK(in_a_child([] {
          spilling_store store{options(0, "")};
          const auto small = a_frame("small", 100, 1);
          put(store, small);
          const auto held = space_held();
          ::signal(SIGXFSZ, SIG_IGN);
          const rlimit limit{256 * 1024, 256 * 1024};
          ::setrlimit(RLIMIT_FSIZE, &limit);
          try {
            put(store, a_frame("large", 100'000, 2));
            return 1;
          } catch (const std::system_error&) {
          }
          if (get(store, {"large"}) || !same(get(store, {"small"}), small))
            return 2;
          if (store.usage().disk_bytes != page_file::page_bytes || space_held() != held)
            return 3; // what was written of it is still there
          return put(store, a_frame("next", 100, 3)) ? 0 : 4;
        })
        == 0);
}

TEST_CASE("a store whose disk was full takes keyframes as soon as there is space again") {
  const auto folder = temporary_folder() + "/tessera-small-disk-" + std::to_string(::getpid());
  std::filesystem::create_directory(folder);
  const auto status = in_a_child([&] {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0
        || ::mount("none", folder.c_str(), "tmpfs", 0, "size=1m") != 0)
      return cannot_mount;
    constexpr size_t rays = 12 * page_file::page_bytes / sizeof(ray); // five fit, and a part of the sixth
    const auto available = [&] { return std::filesystem::space(folder).available; };
    spilling_store store{options(0, folder)};
    const auto put = [&](const std::string& id, uint32_t seed) {
      try {
        return toy::put(store, a_frame(id, rays, seed));
      } catch (const std::system_error& e) {
        if (e.code().value() != ENOSPC)
          throw;
        return false;
      }
    };
    for (uint32_t i = 0; i < 5; ++i)
      if (!put("kf" + std::to_string(i), i))
        return 1;
    const auto left = available();
    for (uint32_t i = 0; i < 3; ++i)
      if (put("too much", 9))
        return 2;
    if (available() != left)
      return 3; // what failed holds space
    if (store.usage().disk_bytes != 5 * rays * sizeof(ray))
      return 4;
    if (!erase(store, {"kf1"}) || available() <= left || !put("next", 6)) // one in the middle makes room for another
      return 5;
    if (!erase(store, {"kf0"}) || !erase(store, {"kf2"}))
      return 6;
    std::filesystem::create_directory(folder + "/others");
    if (available() < left + 2 * rays * sizeof(ray) - 64 * 1024)
      return 7; // what was freed can be others'
    for (uint32_t i : {3u, 4u})
      if (!same(get(store, {"kf" + std::to_string(i)}), a_frame("kf" + std::to_string(i), rays, i)))
        return 8;
    return same(get(store, {"next"}), a_frame("next", rays, 6)) ? 0 : 9;
  });
  std::filesystem::remove_all(folder);
  if (status == cannot_mount)
    WARN("skipped: a small file system can only be mounted by root");
  else
    CHECK(status == 0);
}
