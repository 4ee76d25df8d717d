// What is in a journal is there when it is opened again; what is damaged, newer or another's is told.

#include "hidden_test.hpp"
#include "journal_folder.hpp"
#include "messages/archive.hpp"

#include <catch2/catch.hpp>
#include <rocksdb/db.h>

#include <csignal>
#include <map>
#include <sys/wait.h>
#include <unistd.h>

using namespace tessera;
using namespace tessera::toy;

namespace {

/// Gives a journal's record another value.
void overwrite(const std::string& folder, const std::string& key, std::span<const std::byte> value) {
  rocksdb::DB* db = nullptr;
  REQUIRE(rocksdb::DB::Open({}, folder, &db).ok());
  const std::unique_ptr<rocksdb::DB> closed{db};
  REQUIRE(db->Put({}, key, {reinterpret_cast<const char*>(value.data()), value.size()}).ok());
}

/// What cannot be read now is a std::system_error, and no damage.
bool fails_for_now(const journal& kept, uint64_t number) {
  try {
    (void)kept.read(number);
    return false;
  } catch (const std::system_error&) {
    return true;
  }
}

/// What stands in each file of a folder.
std::map<std::string, std::string> contents_of(const std::string& folder) {
  std::map<std::string, std::string> out;
  for (const auto& name : files_of(folder, ""))
    out[name] = content_of(name);
  return out;
}

constexpr journal::access all_access[]
  = {journal::access::serve, journal::access::change, journal::access::look, journal::access::salvage};

/// As programs wrote it that knew no revisions' numbers: version 1, and 16 numbers.
record_bytes old_pose_record(const pose& at) {
  record_bytes out(1 + sizeof(uint32_t) + sizeof(uint64_t) + sizeof at.m);
  const uint32_t version = 1;
  const uint64_t count = at.m.size();
  out[0] = std::byte{1}; // little-endian
  std::memcpy(&out[1], &version, sizeof version);
  std::memcpy(&out[1 + sizeof version], &count, sizeof count);
  std::memcpy(&out[1 + sizeof version + sizeof count], at.m.data(), sizeof at.m);
  return out;
}

/// As programs wrote it that did not compress: version 1, and the planes.
record_bytes old_rays_record(const std::vector<uint8_t>& planes) {
  record_bytes out(1 + sizeof(uint32_t) + sizeof(uint64_t));
  const uint32_t version = 1;
  const uint64_t count = planes.size();
  out[0] = std::byte{1}; // little-endian
  std::memcpy(&out[1], &version, sizeof version);
  std::memcpy(&out[1 + sizeof version], &count, sizeof count);
  for (const auto byte : planes)
    out.push_back(std::byte{byte});
  return out;
}

/// As programs wrote it that knew no regions: version 2, and the revision.
record_bytes old_place_record(const pose& at, uint64_t revision) {
  auto out = old_pose_record(at);
  out[1] = std::byte{2};
  out.push_back(std::byte{1}); // there is one
  for (int shift = 0; shift < 64; shift += 8)
    out.push_back(static_cast<std::byte>(revision >> shift));
  return out;
}

/// Makes a journal of three keyframes, "0" to "2", whose rays are in files and no longer in the log.
void put_three(const std::string& path) {
  {
    const auto store = open_store(path);
    for (uint32_t i = 0; i < 3; ++i)
      put(*store, whole(std::to_string(i), 20'000, i));
  }
  open_store(path)->stop();
}

} // namespace

TEST_CASE("records come back as they were written, and nothing else does") {
  const auto frame = whole("kf", 1000, 1);
  const auto kept = read_keyframe_record(keyframe_record(frame));
  CHECK(kept.rays == 1000);
  CHECK(kept.frame.id == frame.id);
  CHECK(kept.frame.came_with == frame.came_with);
  CHECK(kept.frame.rays.rays == nullptr);
  ray_packer pack;
  for (const size_t count : {1000, 0, 1, 63, 64, 300'000, 65}) // one of them too many to keep room for
    CHECK(read_rays_record(pack(*whole("kf", count, 2).rays.rays)) == *whole("kf", count, 2).rays.rays);
  std::vector<uint8_t> planes(2 * sizeof(ray)); // of each ray a byte: x, y, z, and from 24 on colours and points
  planes[24] = 9, planes[25] = 250, planes[30] = 3, planes[31] = 4;
  CHECK(read_rays_record(old_rays_record(planes)) == std::vector<ray>{{0, 0, 0, 9, 0, 0, 3}, {0, 0, 0, 3, 0, 0, 4}});
  planes.pop_back();
  CHECK_THROWS_AS(read_rays_record(old_rays_record(planes)), archive_error);
  const auto packed = pack(*whole("kf", 1000, 2).rays.rays);
  for (size_t length = 0; length < packed.size(); length += 1 + length / 16)
    CHECK_THROWS_AS(read_rays_record(std::span{packed}.first(length)), archive_error);
  auto more = packed;
  more[5] ^= std::byte{1}; // how many there are
  CHECK(says(told([&] { read_rays_record(more); }), {"not as many"}));
  const keyframe_reach reach{7, {{-2'000'000'000, 0, 5}, {-1, -1, -1}, {-1, -1, 0}, {3, 0, 0}, {2'000'000'000, -70, 70}}};
  for (const auto& place : {keyframe_place{frame.came_with}, keyframe_place{frame.came_with, 0}, keyframe_place{{}, ~0ull},
                            keyframe_place{frame.came_with, 3, reach}})
    CHECK(read_place_record(place_record(place)) == place);
  CHECK(read_place_record(old_place_record(frame.came_with, 9)) == keyframe_place{frame.came_with, 9});
  CHECK(read_place_record(old_pose_record(frame.came_with)) == keyframe_place{frame.came_with});
  const auto place = place_record({frame.came_with, 7, reach});
  for (size_t length = 0; length < place.size(); ++length)
    CHECK_THROWS_AS(read_place_record(std::span{place}.first(length)), archive_error);
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
  pose moved; // a similarity is a pose like any other
  moved.m[0] = moved.m[5] = moved.m[10] = 0.7f;
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
    journal one{folder / "j", journal_memory};
    CHECK_FALSE(one.map());
    one.set_map(map);
  }
  const journal again{folder / "j", journal_memory};
  REQUIRE(again.map());
  CHECK(again.map()->voxel_m == 0.02f);
  CHECK(again.map()->region_voxels == 32);
}

TEST_CASE("a journal's tables are of a format that the oldest RocksDB reads which the program is built with") {
  const temporary_folder folder;
  { const journal one{folder / "j", journal_memory}; }
  size_t options = 0;
  for (const auto& name : files_of(folder / "j", ""))
    if (name.find("/OPTIONS-") != std::string::npos) {
      ++options;
      CHECK(content_of(name).find("format_version=5") != std::string::npos);
    }
  CHECK(options > 0);
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
  const auto log = files_of(path, ".log").back();
  damage(log, content_of(log).size() * 3 / 10); // in the fourth
  const auto text = told([&] { open_store(path); });
  CHECK(says(text, {path.c_str(), "is damaged", "salvage", "--fresh"}));
  { const journal saved{path, journal_memory, journal::access::salvage}; }
  const auto store = open_store(path);
  CHECK(store->usage().keyframes == 3); // what was written before
  for (const auto& id : store->ids())
    CHECK(get(*store, id));
}

TEST_CASE("a bit that turned over in a keyframe's rays is named when it is read, and others are read") {
  const temporary_folder folder;
  const auto path = folder / "j";
  put_three(path);
  const auto rays = files_of(path, ".blob");
  REQUIRE(rays.size() == 1);
  damage(rays.front(), 1000);
  const auto store = open_store(path);
  CHECK(store->usage().keyframes == 3);
  int damaged = 0;
  for (const auto& id : store->ids())
    try {
      get(*store, id);
    } catch (const damaged_keyframe& e) {
      ++damaged;
      CHECK(says(e.what(), {path.c_str(), "is damaged"}));
      CHECK(erase(*store, id));
      CHECK(put(*store, whole(id.value, 100, 1)));
    }
  CHECK(damaged == 1);
}

TEST_CASE("a record that is missing or no record is damage; a file that cannot be opened now is read later") {
  const temporary_folder folder;
  const auto path = folder / "j";
  put_three(path);
  overwrite(path, journal_key::of(journal_key::rays, 1), {});
  journal kept{path, journal_memory};
  CHECK_THROWS_AS(kept.read(1), damaged_keyframe);
  CHECK_THROWS_AS(kept.read(7), damaged_keyframe);
  const auto rays = files_of(path, ".blob");
  REQUIRE(rays.size() == 1);
  std::filesystem::rename(rays.front(), folder / "elsewhere");
  CHECK(fails_for_now(kept, 2));
  std::filesystem::rename(folder / "elsewhere", rays.front());
  CHECK(same(kept.read(2), whole("1", 20'000, 1)));
}

TEST_CASE("a file that is missing is told when the journal is opened, and nothing in it is touched") {
  const temporary_folder folder;
  const auto path = folder / "j";
  put(*open_store(path), whole("kf", 20'000, 1));
  open_store(path)->stop(); // what was in the log is now in files
  for (const auto* ending : {".blob", ".sst", "MANIFEST", "CURRENT"}) {
    CAPTURE(ending);
    auto of = files_of(path, ending);
    for (const auto& name : files_of(path, ""))
      if (name.find("/MANIFEST-") != std::string::npos && std::string{ending} == "MANIFEST")
        of.push_back(name);
    REQUIRE(!of.empty());
    std::filesystem::rename(of.front(), folder / "elsewhere");
    const auto before = contents_of(path);
    for (const auto how : all_access)
      CHECK(says(told([&] { journal(path, journal_memory, how); }), {path.c_str(), "is damaged", "--fresh"}));
    CHECK(contents_of(path) == before);
    std::filesystem::rename(folder / "elsewhere", of.front());
    CHECK(same(get(*open_store(path), {"kf"}), whole("kf", 20'000, 1)));
  }
}

TEST_CASE("a journal without CURRENT is no new one, and can be set aside") {
  const temporary_folder folder;
  const auto path = folder / "j";
  put(*open_store(path), whole("kf", 10, 1));
  std::filesystem::rename(path + "/CURRENT", folder / "CURRENT");
  CHECK(says(told([&] { open_store(path); }), {"is damaged", "CURRENT is missing"}));
  const auto aside = set_journal_aside(path);
  REQUIRE(aside);
  CHECK(open_store(path)->usage().keyframes == 0);
  std::filesystem::rename(folder / "CURRENT", *aside + "/CURRENT");
  CHECK(same(get(*open_store(*aside), {"kf"}), whole("kf", 10, 1)));
}

TEST_CASE("a journal whose making was cut short is made") {
  const temporary_folder folder;
  const auto path = folder / "j";
  std::filesystem::create_directory(path);
  for (const auto* name : {"LOCK", "LOG", "IDENTITY", "MANIFEST-000001", "000001.dbtmp"})
    std::ofstream{path + "/" + name};
  CHECK_FALSE(set_journal_aside(path));
  CHECK(put(*open_store(path), whole("kf", 10, 1)));
  CHECK(same(get(*open_store(path), {"kf"}), whole("kf", 10, 1)));
}

TEST_CASE("a journal of a newer program is left alone, to the byte") {
  const temporary_folder folder;
  const auto path = folder / "j";
  put(*open_store(path), whole("kf", 10, 1));
  overwrite(path, std::string{journal_key::format}, format_record(7));
  const auto before = contents_of(path);
  for (const auto how : all_access)
    CHECK(says(told([&] { journal(path, journal_memory, how); }), {path.c_str(), "newer program", "7", "up to 5", "--fresh"}));
  CHECK(contents_of(path) == before);
}

TEST_CASE("a newer program raises a journal's format when it writes, and not when it looks") {
  const temporary_folder folder;
  const auto path = folder / "j";
  put(*open_store(path), whole("kf", 10, 1));
  overwrite(path, std::string{journal_key::format}, format_record(0));
  for (int again = 0; again < 2; ++again)
    CHECK(journal(path, journal_memory, journal::access::look).format() == 0);
  CHECK(journal(path, journal_memory, journal::access::change).format() == journal_format);
  CHECK(journal(path, journal_memory, journal::access::look).format() == journal_format);
}

TEST_CASE("a journal of an older program, which knew no revisions' numbers, is read, and goes on with them") {
  const temporary_folder folder;
  const auto path = folder / "j";
  auto frame = whole("kf", 10, 1);
  frame.group = "upstairs";
  put(*open_store(path), frame);
  pose moved;
  moved.m[3] = 9;
  const auto old = old_pose_record(moved);
  overwrite(path, journal_key::of(journal_key::place, 1), old);
  overwrite(path, std::string{journal_key::format}, format_record(1));
  {
    const auto store = open_store(path);
    CHECK(store->group_revisions().empty());
    const auto found = get(*store, {"kf"});
    REQUIRE(found);
    CHECK(found->world_from_camera == moved);
    CHECK_FALSE(found->revision);
    CHECK(set_place(*store, {"kf"}, {moved, 5}));
    CHECK(store->group_revisions() == std::map<std::string, uint64_t>{{"upstairs", 5}});
  }
  const auto store = open_store(path);
  CHECK(get(*store, {"kf"})->revision == 5u);
  CHECK(store->group_revisions() == std::map<std::string, uint64_t>{{"upstairs", 5}});
}

TEST_CASE("a journal is one process's") {
  const temporary_folder folder;
  const auto path = folder / "j";
  const auto store = open_store(path);
  put(*store, whole("kf", 10, 1));
  CHECK(says(told([&] { open_store(path); }), {path.c_str(), "in use", "--journal"}));
  CHECK(says(told([&] { journal(path, journal_memory, journal::access::look); }), {"in use"}));
  CHECK(says(told([&] { set_journal_aside(path); }), {"in use"}));
  CHECK(same(get(*store, {"kf"}), whole("kf", 10, 1)));
}

TEST_CASE("a lock that cannot be had at all is nobody else's") {
  const temporary_folder folder;
  const auto path = folder / "lock";
  std::filesystem::create_directories(path + "/LOCK");
  const auto text = told([&] { open_store(path); });
  CHECK(says(text, {path.c_str(), "cannot be written", "Is a directory"}));
  CHECK_FALSE(says(text, {"in use"}));
}

TEST_CASE("a folder that cannot be a journal is told, and nothing in it is touched") {
  const temporary_folder folder;
  std::ofstream{folder / "file"} << "text";
  CHECK(says(told([&] { open_store(folder / "file"); }), {"cannot be made", "--no-journal"}));
  CHECK(says(told([&] { open_store(folder / "file/under"); }), {"cannot be made", "--no-journal"}));
  CHECK(says(told([&] { open_store(folder / ""); }), {"holds other things", "(file)"}));
  CHECK(files_of(folder / "", "").size() == 1);
  CHECK(says(told([&] { journal(folder / "none", journal_memory, journal::access::look); }), {"no journal in"}));
  rocksdb::Options options;
  options.create_if_missing = true;
  rocksdb::DB* db = nullptr;
  REQUIRE(rocksdb::DB::Open(options, folder / "other", &db).ok());
  db->Put({}, "something", "else");
  delete db;
  const auto before = contents_of(folder / "other");
  CHECK(says(told([&] { open_store(folder / "other"); }), {"something else"}));
  CHECK(contents_of(folder / "other") == before);
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

TEST_CASE("what was erased before the process ended gives its space back in the next one") {
  const temporary_folder folder;
  const auto path = folder / "j";
  constexpr uint64_t count = 240, bytes = 25'000 * sizeof(ray);
  {
    journal kept{path, journal_memory};
    put_and_erase(kept, count);
  }
  {
    const journal kept{path, journal_memory};
    const auto erased = static_cast<double>(kept.erased_bytes(count / 3));
    CHECK(erased > 0.9 * count * 2 / 3 * 13 * 25'000); // of which 13 bytes a ray cannot be compressed
    CHECK(erased < count * bytes);
  }
  const auto store = open_store(path);
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds{60};
  while (store->usage().disk_bytes > count * bytes / 2 && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
  CHECK(store->usage().disk_bytes <= count * bytes / 2);
  CHECK(same(get(*store, {"3"}), whole("3", 25'000, 3)));
}

TEST_CASE("a journal that could not be opened again is opened by who reads next") {
  const temporary_folder folder;
  const auto kept = std::make_shared<journal>(folder / "j", journal_memory);
  journal_store store{kept};
  put(store, whole("a", 100, 1));
  const auto current = folder / "j/CURRENT", away = folder / "j/away";
  std::filesystem::rename(current, away);
  CHECK_THROWS_AS(kept->reopen(), std::system_error);
  CHECK_THROWS_AS(get(store, {"a"}), std::system_error);
  std::filesystem::rename(away, current);
  CHECK(same(get(store, {"a"}), whole("a", 100, 1)));
}

TEST_CASE("a journal that is opened again does not wait for its compaction, which is done another time") {
  const temporary_folder folder;
  journal kept{folder / "j", journal_memory};
  put_and_erase(kept, 300);
  std::atomic<int> did{-1};
  std::jthread compacting{[&] { did = kept.compact(); }};
  while (kept.to_compact() == 0 && did < 0)
    std::this_thread::yield();
  REQUIRE(kept.to_compact() > 0);
  kept.reopen();
  compacting.join();
  CHECK(did == 0);
  CHECK(kept.to_compact() == 0);
  CHECK(same(kept.read(3), whole("3", 25'000, 3)));
  const auto before = kept.disk_bytes();
  CHECK(kept.compact());
  CHECK(kept.disk_bytes() < before);
  CHECK(kept.erased_bytes(100) == 0);
  CHECK(same(kept.read(300), whole("300", 25'000, 300)));
  kept.end_compacting();
  CHECK_FALSE(kept.compact());
}

TEST_CASE("what comes together is written in pieces that RocksDB buffers") {
  const temporary_folder folder;
  const auto path = folder / "j";
  std::vector<stored_keyframe> frames;
  for (uint32_t i = 0; i < 48; ++i)
    frames.push_back(whole(std::to_string(i), 65'536, i));
  const auto store = open_store(path);
  std::vector<std::future<bool>> stored;
  for (const auto& frame : frames)
    stored.push_back(ask_put(*store, frame));
  for (auto& one : stored)
    CHECK(one.get());
  store->stop();
  for (const auto* ending : {".blob", ".log"})
    for (const auto& file : files_of(path, ending))
      CHECK(std::filesystem::file_size(file) < 8'000'000); // buffers are of 2 MiB, and are changed between two groups
}
