#include "net/sources/shm/shm_segment.hpp"

#include "net/sources/shm/segment_keyframe.hpp"
#include "taken_segment.hpp"
#include "want.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <csignal>
#include <memory>
#include <thread>

using namespace tessera;
using testing::large;
using testing::no_descriptors;
using testing::other_user;
using testing::segment_bytes;
using testing::shm_name;
using testing::sum;
using testing::take;

TEST_CASE("a segment is used where it lies, or read into memory for GPUs") {
  shm_name name;
  host_memory memory(nullptr);
  for (auto* into : {static_cast<host_memory*>(nullptr), &memory})
    for (uint32_t points : {10u, 11u, 40'001u}) // with 11 and 40,001 confidence is not aligned
      for (bool long_form : {false, true})
        for (uint32_t confidence : {0u, 1u})
          for (uint32_t channels : {3u, 4u}) {
            segment_bytes s;
            s.point_count = s.real_points = points;
            s.long_form = long_form;
            s.has_confidence = long_form ? confidence : 0;
            s.channels = channels;
            name.write(s.bytes());
            const auto taken = take(name, into);
            const auto& segment = *taken;
            REQUIRE(segment.mapped() == (into == nullptr));
            REQUIRE(segment.size() == points);
            CHECK(segment.channels() == channels);
            CHECK(segment.points().front() == 1.5f);
            CHECK(segment.points().back() == 0.5f + 3 * static_cast<float>(points));
            CHECK(segment.colours().size() == points * channels);
            CHECK(segment.colours()[9] == 9);
            CHECK(segment.colours().back() == static_cast<uint8_t>(points * channels - 1));
            REQUIRE(segment.confidence().size() == (s.has_confidence ? points : 0));
            CHECK(reinterpret_cast<uintptr_t>(segment.confidence().data()) % alignof(float) == 0);
            if (s.has_confidence) {
              CHECK(segment.confidence()[3] == 3.25f);
              CHECK(segment.confidence().back() == static_cast<float>(points) - 0.75f);
            }
            CHECK(segment.torn().empty());
            CHECK(segment.content_digest() == shm_segment(name.key()).content_digest());
            CHECK(segment.unlink());
            CHECK_FALSE(name.exists());
          }
}

TEST_CASE("names outside of the prefix are never opened") {
  const char* prefix = "/slam3r_keyframe_";
  CHECK(checked_segment_name("/slam3r_keyframe_1", prefix) == "/slam3r_keyframe_1");
  CHECK(checked_segment_name("slam3r_keyframe_1", prefix) == "/slam3r_keyframe_1");
  for (const std::string& bad :
       {std::string("/etc/passwd"), std::string("/other"), std::string("/slam3r_keyframe_"),
        std::string("/slam3r_keyframe_/../x"), std::string("/slam3r_keyframe_a/b"), std::string("/../slam3r_keyframe_x"),
        std::string("/slam3r_keyframe_.."), std::string("//slam3r_keyframe_x"), std::string(), std::string("/"),
        std::string("/slam3r_keyframe_\0x", 19), std::string("/slam3r_keyframe_\n"), "/slam3r_keyframe_" + std::string(300, 'x')})
    CHECK_THROWS_AS(checked_segment_name(bad, prefix), bad_input);
}

TEST_CASE("a segment that does not exist, is no file, or lies is refused") {
  shm_name name;
  CHECK_THROWS_AS(shm_segment(name.key()), no_such_segment);
  SECTION("a folder") {
    REQUIRE(mkdir(name.path().c_str(), 0700) == 0);
    CHECK_THROWS_AS(shm_segment(name.key()), bad_input);
    rmdir(name.path().c_str());
  }
  SECTION("a pipe does not hold us up") {
    REQUIRE(mkfifo(name.path().c_str(), 0600) == 0);
    CHECK_THROWS_WITH(shm_segment(name.key()), Catch::Contains("not a plain"));
  }
  SECTION("a link to somewhere else") {
    REQUIRE(symlink("/etc/hostname", name.path().c_str()) == 0);
    CHECK_THROWS_AS(shm_segment(name.key()), bad_input);
  }
  SECTION("empty and short") {
    for (size_t size : {size_t{0}, size_t{50}, size_t{104}}) {
      name.write(std::vector<std::byte>(size));
      name.settle();
      CHECK_THROWS_AS(shm_segment(name.key()), bad_input);
    }
  }
  SECTION("2^32-1 points") {
    segment_bytes s;
    s.point_count = 0xffffffff;
    name.write(s.bytes());
    name.settle();
    CHECK_THROWS_WITH(shm_segment(name.key()), Catch::Contains("4294967295"));
  }
}

TEST_CASE("a segment that fits no header is not bad while it is being written") {
  shm_name name;
  auto bytes = large().bytes();
  name.write_in_place({bytes.begin(), bytes.begin() + 1000});
  CHECK_THROWS_AS(shm_segment(name.key()), not_now_error);
  discard_segment(name.key());
  CHECK(name.exists());
  name.write_in_place({});
  CHECK_THROWS_AS(shm_segment(name.key()), not_now_error);
  name.write_in_place(bytes);
  CHECK_NOTHROW(shm_segment(name.key()));
  discard_segment(name.key());
  CHECK(name.exists()); // it is good by now
  name.write_in_place({bytes.begin(), bytes.begin() + 1000});
  name.settle();
  CHECK_THROWS_AS(shm_segment(name.key()), bad_input);
  discard_segment(name.key());
  CHECK_FALSE(name.exists());
}

TEST_CASE("what is no segment at all is discarded, but no folder") {
  shm_name pipe, link, folder;
  REQUIRE(mkfifo(pipe.path().c_str(), 0600) == 0);
  REQUIRE(symlink("/etc/hostname", link.path().c_str()) == 0);
  REQUIRE(mkdir(folder.path().c_str(), 0700) == 0);
  for (const auto* name : {&pipe, &link, &folder})
    discard_segment(name->key());
  CHECK_FALSE(pipe.exists());
  struct stat s {};
  CHECK(lstat(link.path().c_str(), &s) != 0);
  CHECK(folder.exists());
  rmdir(folder.path().c_str());
}

TEST_CASE("want of descriptors or of a permission is no fault of the segment") {
  shm_name name;
  name.write(segment_bytes{}.bytes());
  SECTION("descriptors") {
    no_descriptors full;
    CHECK_THROWS_AS(shm_segment(name.key()), not_now_error);
    CHECK_THROWS_WITH(shm_segment(name.key()), Catch::Contains("Too many open files"));
    discard_segment(name.key());
    CHECK(name.exists());
  }
  SECTION("descriptors, for what was opened before") {
    shm_segment segment(name.key());
    no_descriptors full;
    CHECK(segment.unlink());
    CHECK_FALSE(name.exists());
  }
  SECTION("a permission") {
    REQUIRE(chmod(name.path().c_str(), 0) == 0);
    other_user nobody;
    if (!nobody.changed())
      return;
    CHECK_THROWS_AS(shm_segment(name.key()), no_permission);
    CHECK_THROWS_WITH(shm_segment(name.key()), Catch::Contains("belongs to uid 0") && Catch::Contains("has mode 000")
                                                 && Catch::Contains("runs as uid 65534") && Catch::Contains("chmod"));
    discard_segment(name.key());
    CHECK(name.exists());
  }
  CHECK_NOTHROW(name.exists() ? shm_segment(name.key()).size() : 0);
}

TEST_CASE("another user's segment may be read, and stays") {
  shm_name name;
  name.write(segment_bytes{}.bytes());
  REQUIRE(chmod(name.path().c_str(), 0644) == 0);
  other_user nobody;
  if (!nobody.changed())
    return;
  shm_segment segment(name.key());
  CHECK(segment.unlink()); // what lies there is no other's
  CHECK(name.exists());
}

TEST_CASE("a digest of all bytes tells what samples do not") {
  shm_name name;
  auto s = large();
  auto bytes = s.bytes();
  name.write(bytes);
  auto first = shm_segment(name.key()).content_digest();
  bytes[108 + 12 * 7777 + 2] ^= std::byte{1};
  name.write(bytes);
  CHECK(shm_segment(name.key()).content_digest() != first);
  s.timestamp_ns += 1; // sent again, a moment later
  name.write(s.bytes());
  CHECK(shm_segment(name.key()).content_digest() == first);
}

TEST_CASE("a segment cut short before it is read reads as zeros and tells") {
  shm_name name;
  name.write(large().bytes());
  shm_segment segment(name.key());
  name.truncate(104);
  CHECK_NOTHROW(sum(segment));
  CHECK_THAT(segment.torn(), Catch::Contains("size"));
  CHECK(segment.points()[3 * 19'999] == 0);
}

TEST_CASE("a segment cut short and put back to its size is still known as torn") {
  shm_name name;
  auto bytes = large().bytes();
  name.write(bytes);
  shm_segment segment(name.key());
  name.truncate(4096);
  CHECK_NOTHROW(sum(segment));
  name.truncate(bytes.size());
  CHECK_FALSE(segment.torn().empty());
}

TEST_CASE("segments that shrink while threads read them bring nothing down") {
  for (int round = 0; round < 20; ++round) {
    shm_name name;
    name.write(large().bytes());
    shm_segment segment(name.key());
    std::atomic<bool> enough = false;
    std::atomic<int> started = 0;
    std::vector<std::jthread> readers;
    for (int i = 0; i < 2; ++i)
      readers.emplace_back([&] {
        ++started;
        while (!enough)
          sum(segment);
      });
    while (started < 2)
      std::this_thread::yield();
    name.truncate(static_cast<size_t>(round) * 4096);
    sum(segment);
    enough = true;
    readers.clear();
    CHECK_FALSE(segment.torn().empty());
  }
}

TEST_CASE("a segment unlinked while it is read stays whole") {
  shm_name name;
  name.write(large().bytes());
  shm_segment segment(name.key());
  name.unlink();
  CHECK(sum(segment) > 0);
  CHECK(segment.torn().empty());
  name.write(segment_bytes{}.bytes()); // another one of that name is not ours
  CHECK(segment.torn().empty());
}

TEST_CASE("a segment written to again while it is read is known as torn") {
  shm_name name;
  auto s = large();
  name.write(s.bytes());
  shm_segment segment(name.key());
  SECTION("all of it, through a mapping: on some systems no time stamp changes") {
    s.value = 7;
    name.overwrite_mapped(s.bytes());
    CHECK_THAT(segment.torn(), Catch::Contains("written to again"));
  }
  SECTION("the header alone") {
    s.pose[3] = 9;
    name.overwrite_mapped(s.bytes());
    CHECK_FALSE(segment.torn().empty());
  }
}

TEST_CASE("only the segment that was read is unlinked") {
  shm_name name;
  name.write(segment_bytes{}.bytes());
  SECTION("as it was") {
    shm_segment(name.key()).unlink();
    CHECK_FALSE(name.exists());
  }
  SECTION("gone already") {
    shm_segment segment(name.key());
    name.unlink();
    CHECK_NOTHROW(segment.unlink());
  }
  SECTION("the name was used again") {
    shm_segment segment(name.key());
    name.unlink();
    name.write(segment_bytes{}.bytes());
    CHECK_FALSE(segment.unlink());
    CHECK(name.exists());
  }
  SECTION("it holds something new") {
    shm_segment segment(name.key());
    segment_bytes s;
    s.value = 3;
    name.overwrite_mapped(s.bytes());
    CHECK_FALSE(segment.unlink());
    CHECK(name.exists());
  }
  SECTION("it was written again in place, as it was") {
    shm_segment segment(name.key());
    std::this_thread::sleep_for(std::chrono::milliseconds(20)); // longer than a file system's clock stands still
    name.write_in_place(segment_bytes{}.bytes());
    CHECK_FALSE(segment.unlink());
    CHECK(name.exists());
  }
  SECTION("it is just being written again in place") {
    shm_segment segment(name.key());
    name.write_in_place({});
    CHECK_FALSE(segment.unlink());
    CHECK(name.exists());
  }
}

namespace {

std::atomic<int> foreign_faults = 0;
void* foreign_page = nullptr;

void foreign_handler(int, siginfo_t*, void*) {
  ++foreign_faults;
  if (mmap(foreign_page, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
    _exit(1); // else this would be called for ever
}

/// In place before any segment is mapped, as another library's handler may be.
[[maybe_unused]] const bool foreign_first = [] {
  struct sigaction foreign {};
  foreign.sa_sigaction = foreign_handler;
  foreign.sa_flags = SA_SIGINFO;
  return sigaction(SIGBUS, &foreign, nullptr) == 0;
}();

} // namespace

TEST_CASE("a segment that comes while the old one is unlinked stays") {
  shm_name name, next;
  segment_bytes newer;
  newer.value = 9;
  for (int round = 0; round < 2000; ++round) {
    name.write(segment_bytes{}.bytes());
    next.write(newer.bytes());
    shm_segment old(name.key());
    std::atomic<bool> go = false;
    std::thread producer([&] {
      while (!go)
        ;
      rename(next.path().c_str(), name.path().c_str());
    });
    go = true;
    old.unlink();
    producer.join();
    REQUIRE(name.exists());
    REQUIRE(shm_segment(name.key()).points()[0] == 9);
    name.unlink();
  }
}

TEST_CASE("a SIGBUS outside of segments goes to the handler that was there") {
  shm_name name;
  name.write(large().bytes());
  shm_segment segment(name.key());
  int file = shm_open(name.key().c_str(), O_RDONLY, 0);
  foreign_page = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 8192);
  close(file);
  REQUIRE(foreign_page != MAP_FAILED);
  name.truncate(0);
  int before = foreign_faults;
  CHECK(*static_cast<volatile char*>(foreign_page) == 0);
  CHECK(foreign_faults == before + 1);
  CHECK(segment.points()[0] == 0);
  CHECK(foreign_faults == before + 1); // that one was ours
  munmap(foreign_page, 4096);
}

TEST_CASE("a notification's time and pose win over the header's") {
  shm_name name;
  name.write(segment_bytes{}.bytes());
  auto segment = std::make_shared<const shm_segment>(name.key());
  auto alone = keyframe_of_segment(segment, keyframe_id{"a"}, pose_layout::automatic);
  CHECK(alone.timestamp_ns == 7);
  CHECK(alone.world_from_camera.m[7] == 2);
  notification note;
  note.id.value = "b";
  auto bare = keyframe_of_segment(segment, note, pose_layout::automatic);
  CHECK(bare.timestamp_ns == 7);
  CHECK(bare.world_from_camera.m[7] == 2);
  note.timestamp_ns = 99;
  note.world_from_camera = pose{};
  note.point_count = 10;
  auto told = keyframe_of_segment(segment, note, pose_layout::automatic);
  CHECK(told.id.value == "b");
  CHECK(told.timestamp_ns == 99);
  CHECK(told.world_from_camera == pose{});
  note.point_count = 11;
  CHECK_THROWS_AS(keyframe_of_segment(segment, note, pose_layout::automatic), other_keyframe);
}

TEST_CASE("shared memory as small as Docker makes it is told before it is full") {
  constexpr uint64_t mib = uint64_t{1} << 20;
  CHECK(too_small_for_segments(256 * mib).empty());
  const auto small = too_small_for_segments(64 * mib);
  for (const auto* part : {"/dev/shm has 64 MiB", "--shm-size", "--ipc host"})
    CHECK(small.find(part) != std::string::npos);
  CHECK(too_small_for_segments(std::nullopt).find("is not there") != std::string::npos);
  CHECK(size_of_file_system("/dev/shm/no such folder") == std::nullopt);
  CHECK(size_of_file_system("/") > mib);
}
