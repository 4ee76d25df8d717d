// What is in a journal is there when it is opened again; what is damaged, newer or another's is told.

#include "faulty_disk.hpp"
#include "journal_folder.hpp"
#include "messages/archive.hpp"

#include <catch2/catch.hpp>
#include <rocksdb/db.h>

#include <csignal>
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace tessera;
using namespace tessera::toy;

namespace {

constexpr uint64_t memory = uint64_t{16} << 20;

/// What an error says; empty if there is none.
template <class Try>
std::string told(Try what) {
  try {
    what();
    return {};
  } catch (const std::exception& e) {
    return e.what();
  }
}

/// Gives a journal's record another value.
void overwrite(const std::string& folder, const std::string& key, std::span<const std::byte> value) {
  rocksdb::DB* db = nullptr;
  REQUIRE(rocksdb::DB::Open({}, folder, &db).ok());
  const std::unique_ptr<rocksdb::DB> closed{db};
  REQUIRE(db->Put({}, key, {reinterpret_cast<const char*>(value.data()), value.size()}).ok());
}

bool says(const std::string& text, std::initializer_list<const char*> parts) {
  return std::all_of(parts.begin(), parts.end(), [&](const char* part) { return text.find(part) != std::string::npos; });
}

/// Starts this program again for one hidden test: RocksDB's threads do not live on in a fork. `prepare` is called in the child.
constexpr int cannot_start = 77, told_fd = 42;
constexpr const char* folder_name = "TESSERA_TEST_FOLDER";

template <class Prepare>
pid_t start(const char* test, const std::string& folder, Prepare prepare) {
  const auto child = ::fork();
  REQUIRE(child >= 0);
  if (child != 0)
    return child;
  ::setenv(folder_name, folder.c_str(), 1);
  if (prepare())
    ::execl("/proc/self/exe", "test", test, nullptr);
  ::_exit(cannot_start);
}

/// The folder that a hidden test was given. It is one only by its parent, which sees by a file beside the folder that it came to
/// its end: a name that Catch2 does not find is no failure to it.
std::filesystem::path child_folder() {
  const auto* folder = std::getenv(folder_name);
  if (folder == nullptr)
    throw std::runtime_error("this is no test by itself");
  return folder;
}

void note_the_end() {
  std::ofstream{child_folder().parent_path() / "ended"} << "yes";
}

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

stored_keyframe whole(const std::string& id, size_t rays, uint32_t seed) {
  auto frame = a_frame(id, rays, seed);
  frame.came_with = frame.world_from_camera;
  return frame;
}

} // namespace

TEST_CASE("records come back as they were written, and nothing else does") {
  const auto frame = whole("kf", 1000, 1);
  const auto kept = read_keyframe_record(keyframe_record(frame));
  CHECK(kept.rays == 1000);
  CHECK(kept.frame.id == frame.id);
  CHECK(kept.frame.came_with == frame.came_with);
  CHECK(kept.frame.rays.rays == nullptr);
  for (const size_t count : {0, 1, 1000})
    CHECK(read_rays_record(rays_record(*whole("kf", count, 2).rays.rays)) == *whole("kf", count, 2).rays.rays);
  CHECK(read_pose_record(pose_record(frame.came_with)) == frame.came_with);
  map_settings map;
  map.voxel_m = 0.02f;
  CHECK(read_map_record(map_record(map)).voxel_m == 0.02f);
  const auto bytes = keyframe_record(frame);
  for (size_t length = 0; length < bytes.size(); ++length)
    CHECK_THROWS_AS(read_keyframe_record(std::span{bytes}.first(length)), archive_error);
  auto newer = bytes;
  newer[1] = std::byte{2};
  CHECK(says(told([&] { read_keyframe_record(newer); }), {"version 2", "knows 1"}));
  CHECK(journal_key::number(journal_key::of('k', 0x0102030405060708)) == 0x0102030405060708);
  CHECK(journal_key::of('k', 255) < journal_key::of('k', 256));
  CHECK_THROWS_AS(journal_key::number("k"), archive_error);
}

TEST_CASE("a journal that is opened again holds what was put, moved and not erased") {
  const temporary_folder folder;
  const auto path = folder / "a/b/journal";
  auto frame = whole("kf", 5000, 1);
  frame.source = "shm";
  pose moved;
  moved.m[3] = 9;
  {
    const auto store = open_store(path);
    CHECK(put(*store, frame));
    for (uint32_t i = 0; i < 10; ++i)
      CHECK(put(*store, whole(std::to_string(i), 100, i)));
    CHECK(set_pose(*store, frame.id, moved));
    CHECK(erase(*store, {"3"}));
    CHECK(put(*store, whole("3", 50, 77)));
  }
  for (int again = 0; again < 2; ++again) {
    const auto store = open_store(path);
    CHECK(store->usage().keyframes == 11);
    CHECK(store->usage().rays == 5000 + 9 * 100 + 50);
    CHECK(store->usage().disk_bytes > 0);
    CHECK(store->ids().front() == frame.id);
    CHECK(store->ids().back() == keyframe_id{"3"}); // it came again, last
    const auto found = get(*store, frame.id);
    CHECK(same(found, frame));
    CHECK(found->world_from_camera == moved);
    CHECK(found->came_with == frame.came_with);
    CHECK(found->source == "shm");
    CHECK(same(get(*store, {"3"}), whole("3", 50, 77)));
    CHECK_FALSE(put(*store, frame));
  }
}

TEST_CASE("a journal remembers what its rays were made with") {
  const temporary_folder folder;
  map_settings map;
  map.voxel_m = 0.02f;
  map.region_voxels = 32;
  {
    journal one{folder / "j", memory};
    CHECK_FALSE(one.map());
    one.set_map(map);
  }
  const journal again{folder / "j", memory};
  REQUIRE(again.map());
  CHECK(again.map()->voxel_m == 0.02f);
  CHECK(again.map()->region_voxels == 32);
}

TEST_CASE("what was answered is there after a process that ended without a word") {
  const temporary_folder folder;
  const auto path = folder / "j";
  int pipes[2];
  REQUIRE(::pipe(pipes) == 0);
  const auto child = start("(writes until it is killed)", path, [&] { return ::dup2(pipes[1], told_fd) == told_fd; });
  ::close(pipes[1]);
  uint32_t answered = 0;
  for (char c = 0; answered < 20 && ::read(pipes[0], &c, 1) == 1;)
    ++answered;
  CHECK(answered == 20);
  ::kill(child, SIGKILL);
  for (char c = 0; ::read(pipes[0], &c, 1) == 1;)
    ++answered;
  ::waitpid(child, nullptr, 0);
  ::close(pipes[0]);
  const auto store = open_store(path);
  CHECK(store->usage().keyframes >= answered);
  for (uint32_t i = 0; i < answered; ++i)
    CHECK(same(get(*store, {std::to_string(i)}), whole(std::to_string(i), 2000, i)));
}

TEST_CASE("(writes until it is killed)", "[.]") {
  const auto store = open_store(child_folder().string());
  for (uint32_t i = 0;; ++i) {
    put(*store, whole(std::to_string(i), 2000, i));
    if (::write(told_fd, "x", 1) != 1)
      return;
  }
}

TEST_CASE("whole records of a log that was cut off are kept") {
  const temporary_folder folder;
  const auto path = folder / "j";
  {
    const auto store = open_store(path);
    for (uint32_t i = 0; i < 5; ++i)
      put(*store, whole(std::to_string(i), 1000, i));
  }
  const auto log = files_of(path, ".log").back();
  std::filesystem::resize_file(log, content_of(log).size() - 500);
  const auto store = open_store(path);
  CHECK(store->usage().keyframes == 4);
  for (uint32_t i = 0; i < 4; ++i)
    CHECK(same(get(*store, {std::to_string(i)}), whole(std::to_string(i), 1000, i)));
}

TEST_CASE("a bit that turned over in the log is named, and what came before can be salvaged") {
  const temporary_folder folder;
  const auto path = folder / "j";
  {
    const auto store = open_store(path);
    for (uint32_t i = 0; i < 5; ++i)
      put(*store, whole(std::to_string(i), 10'000, i));
  }
  damage(files_of(path, ".log").back(), 250'000);
  const auto text = told([&] { open_store(path); });
  CHECK(says(text, {path.c_str(), "is damaged", "salvage", "--fresh"}));
  { const journal saved{path, memory, journal::access::salvage}; }
  const auto store = open_store(path);
  CHECK(store->usage().keyframes == 3); // what was written before
  for (const auto& id : store->ids())
    CHECK(get(*store, id));
}

TEST_CASE("a bit that turned over in a keyframe's rays is named when it is read, and others are read") {
  const temporary_folder folder;
  const auto path = folder / "j";
  {
    const auto store = open_store(path);
    for (uint32_t i = 0; i < 3; ++i)
      put(*store, whole(std::to_string(i), 20'000, i));
  }
  open_store(path)->stop(); // what was in the log is now in files
  const auto rays = files_of(path, ".blob");
  REQUIRE(rays.size() == 1);
  damage(rays.front(), 1000);
  const auto store = open_store(path);
  CHECK(store->usage().keyframes == 3);
  int damaged = 0;
  for (const auto& id : store->ids())
    if (const auto text = told([&] { get(*store, id); }); !text.empty()) {
      ++damaged;
      CHECK(says(text, {path.c_str(), "is damaged"}));
      CHECK(erase(*store, id));
      CHECK(put(*store, whole(id.value, 100, 1)));
    }
  CHECK(damaged == 1);
}

TEST_CASE("a journal of a newer program is left alone") {
  const temporary_folder folder;
  const auto path = folder / "j";
  put(*open_store(path), whole("kf", 10, 1));
  overwrite(path, std::string{journal_key::format}, format_record(7));
  CHECK(says(told([&] { open_store(path); }), {path.c_str(), "newer program", "7", "up to 1", "--fresh"}));
}

TEST_CASE("a journal is one process's") {
  const temporary_folder folder;
  const auto path = folder / "j";
  const auto store = open_store(path);
  put(*store, whole("kf", 10, 1));
  CHECK(says(told([&] { open_store(path); }), {path.c_str(), "in use", "--journal"}));
  CHECK(says(told([&] { journal(path, memory, journal::access::look); }), {"in use"}));
  CHECK(says(told([&] { set_journal_aside(path); }), {"in use"}));
  CHECK(same(get(*store, {"kf"}), whole("kf", 10, 1)));
}

TEST_CASE("a folder that cannot be a journal is told, and nothing in it is touched") {
  const temporary_folder folder;
  std::ofstream{folder / "file"} << "text";
  CHECK(says(told([&] { open_store(folder / "file"); }), {"cannot be made", "--no-journal"}));
  CHECK(says(told([&] { open_store(folder / "file/under"); }), {"cannot be made", "--no-journal"}));
  CHECK(says(told([&] { open_store(folder / ""); }), {"holds other things", "(file)"}));
  CHECK(files_of(folder / "", "").size() == 1);
  CHECK(says(told([&] { journal(folder / "none", memory, journal::access::look); }), {"no journal in"}));
  rocksdb::Options options;
  options.create_if_missing = true;
  rocksdb::DB* db = nullptr;
  REQUIRE(rocksdb::DB::Open(options, folder / "other", &db).ok());
  db->Put({}, "something", "else");
  delete db;
  CHECK(says(told([&] { open_store(folder / "other"); }), {"something else"}));
}

TEST_CASE("a journal that is set aside keeps all, under another name") {
  const temporary_folder folder;
  const auto path = folder / "j";
  CHECK_FALSE(set_journal_aside(path));
  put(*open_store(path), whole("kf", 10, 1));
  const auto aside = set_journal_aside(path + "/");
  REQUIRE(aside);
  CHECK(aside->starts_with(path + ".20"));
  CHECK(open_store(path)->usage().keyframes == 0);
  const auto again = set_journal_aside(path);
  CHECK(again != aside);
  CHECK(same(get(*open_store(*aside), {"kf"}), whole("kf", 10, 1)));
}

TEST_CASE("a journal gives the disk back what keyframes that are gone took") {
  const temporary_folder folder;
  const auto store = open_store(folder / "j");
  constexpr uint32_t count = 12;
  for (uint32_t i = 0; i < count; ++i)
    put(*store, whole(std::to_string(i), 250'000, i));
  constexpr auto full = count * 250'000 * sizeof(ray);
  for (uint32_t i = 1; i < count; ++i)
    erase(*store, {std::to_string(i)});
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{60};
  while (store->usage().disk_bytes > full / 3 && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
  CHECK(store->usage().disk_bytes <= full / 3);
  CHECK(same(get(*store, {"0"}), whole("0", 250'000, 0)));
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
    gone.push_back(asked<bool>([&](auto answer) { store->set_pose({"0"}, moved, answer); }));
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
