#include "net/sources/shm_watch.hpp"

#include "recording_sink.hpp"
#include "segment_bytes.hpp"
#include "shm_name.hpp"

#include <catch2/catch.hpp>

#include <set>
#include <thread>

using namespace tessera;
using testing::recording_sink;
using testing::segment_bytes;
using testing::shm_name;

namespace {

/// A watch at work in a thread of its own.
struct watching {
  explicit watching(source_options o = {}, std::string p = shm_name::own_prefix()) : prefix(std::move(p)), options(std::move(o)) {
    options.settle_ms = 30;
  }
  ~watching() { stop(); }
  void start() {
    worker = std::jthread([this](std::stop_token token) { make_source("shm:" + prefix, options)->run(sink, token); });
  }
  void stop() {
    worker.request_stop();
    if (worker.joinable())
      worker.join();
  }
  std::multiset<std::string> ids() {
    std::multiset<std::string> out;
    for (const auto& k : sink.frames())
      out.insert(k.id.value);
    return out;
  }
  std::string prefix;
  source_options options;
  recording_sink sink;
  std::jthread worker;
};

segment_bytes with_value(float v) {
  segment_bytes s;
  s.value = v;
  return s;
}

} // namespace

TEST_CASE("segments that are there and segments that come are taken, and left in place if so set") {
  source_options o;
  o.unlink = false;
  watching w(o);
  shm_name a(w.prefix, "a"), b(w.prefix, "b"), other;
  a.write(segment_bytes{}.bytes());
  w.start();
  REQUIRE(w.sink.wait_for(1));
  other.write(segment_bytes{}.bytes());
  b.write(with_value(3).bytes());
  REQUIRE(w.sink.wait_for(2));
  w.stop();
  CHECK(w.ids() == std::multiset<std::string>{"a", "b"});
  auto frames = w.sink.frames();
  CHECK(frames[0].timestamp_ns == 7);
  CHECK(frames[0].world_from_camera.m[3] == 1);
  CHECK(frames[1].body->points()[0] == 3);
  CHECK(frames[1].received_ns > 0);
  CHECK(a.exists());
  CHECK(b.exists());
}

TEST_CASE("watched segments go when their keyframe is safe or refused, and not before") {
  watching w;
  shm_name a(w.prefix, "a"), refused(w.prefix, "refused"), no_pose(w.prefix, "no_pose"), foreign(w.prefix, "foreign");
  bool there_while_judged = true;
  w.sink.judge = [&](const keyframe& k) {
    there_while_judged = there_while_judged && access(("/dev/shm" + w.prefix + k.id.value).c_str(), F_OK) == 0;
    return k.id.value == "a" ? verdict{} : verdict{outcome::refused, "not this one"};
  };
  w.start();
  a.write(segment_bytes{}.bytes());
  refused.write(with_value(2).bytes());
  segment_bytes zeros;
  zeros.pose = {};
  no_pose.write(zeros.bytes());
  foreign.write({std::byte{1}, std::byte{2}});
  REQUIRE(w.sink.wait_for(2, 2));
  for (int i = 0; i < 1000 && (a.exists() || refused.exists()); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  w.stop();
  CHECK(there_while_judged);
  CHECK_FALSE(a.exists());
  CHECK_FALSE(refused.exists());
  CHECK_FALSE(no_pose.exists());
  CHECK(foreign.exists()); // fits no header: perhaps not a keyframe at all
}

TEST_CASE("a segment renamed into place is taken") {
  watching w;
  shm_name hidden, a(w.prefix, "a");
  w.start();
  hidden.write(segment_bytes{}.bytes());
  REQUIRE(rename(hidden.path().c_str(), a.path().c_str()) == 0);
  CHECK(w.sink.wait_for(1));
}

TEST_CASE("a name that comes back with other content is another keyframe, with the same content the same") {
  watching w;
  shm_name a(w.prefix, "a"), hidden, last(w.prefix, "last");
  w.start();
  a.write(segment_bytes{}.bytes());
  REQUIRE(w.sink.wait_for(1));
  hidden.write(with_value(9).bytes());
  REQUIRE(rename(hidden.path().c_str(), a.path().c_str()) == 0);
  REQUIRE(w.sink.wait_for(2));
  a.unlink();
  a.write(segment_bytes{}.bytes()); // as at first
  REQUIRE(w.sink.wait_for(3));
  w.stop();
  auto frames = w.sink.frames();
  CHECK(frames[0].id.value == "a");
  CHECK(frames[1].id.value.size() == 18);
  CHECK(frames[1].id.value.starts_with("a@"));
  CHECK(frames[1].body->points()[0] == 9);
  CHECK(frames[2].id.value == "a");
}

TEST_CASE("a segment written in small steps counts once it is whole") {
  watching w;
  shm_name a(w.prefix, "a");
  w.start();
  segment_bytes s;
  s.point_count = s.real_points = 4000;
  auto bytes = s.bytes();
  int file = shm_open(a.key().c_str(), O_CREAT | O_RDWR, 0600);
  REQUIRE(file >= 0);
  SECTION("kept open, written through a mapping") {
    REQUIRE(ftruncate(file, static_cast<off_t>(bytes.size())) == 0);
    auto* at = static_cast<std::byte*>(mmap(nullptr, bytes.size(), PROT_WRITE, MAP_SHARED, file, 0));
    REQUIRE(at != MAP_FAILED);
    std::memcpy(at, bytes.data(), 200);
    std::this_thread::sleep_for(std::chrono::milliseconds(200)); // the header fits long before the rest is there
    CHECK(w.sink.frames().empty());
    std::memcpy(at, bytes.data(), bytes.size());
    REQUIRE(w.sink.wait_for(1));
    munmap(at, bytes.size());
  }
  SECTION("by writes") {
    for (size_t from = 0; from < bytes.size(); from += 20'000)
      REQUIRE(write(file, bytes.data() + from, std::min<size_t>(20'000, bytes.size() - from)) > 0);
  }
  SECTION("let go of before it is filled") {
    REQUIRE(ftruncate(file, static_cast<off_t>(bytes.size())) == 0);
    auto* at = mmap(nullptr, bytes.size(), PROT_WRITE, MAP_SHARED, file, 0);
    REQUIRE(at != MAP_FAILED);
    close(file);
    file = -1;
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    std::memcpy(at, bytes.data(), bytes.size());
    munmap(at, bytes.size());
  }
  if (file >= 0)
    close(file);
  REQUIRE(w.sink.wait_for(1));
  w.stop();
  auto frames = w.sink.frames();
  REQUIRE(frames.size() == 1);
  CHECK(frames[0].body->points()[11'999] == 1.5f + 11'999);
}

TEST_CASE("a segment that fits no header is set aside once, and others go on") {
  watching w;
  shm_name bad(w.prefix, "bad"), good(w.prefix, "good"), pipe(w.prefix, "pipe"), noname(w.prefix, "\xff");
  segment_bytes s;
  s.point_count = 5;
  bad.write(s.bytes());
  REQUIRE(mkfifo(pipe.path().c_str(), 0600) == 0);
  noname.write(segment_bytes{}.bytes());
  w.start();
  good.write(segment_bytes{}.bytes());
  REQUIRE(w.sink.wait_for(1));
  REQUIRE(w.sink.wait_for(1, 3));
  bad.overwrite_mapped(s.bytes());
  int file = shm_open(bad.key().c_str(), O_RDWR, 0); // touched, not changed
  close(file);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  w.stop();
  CHECK(w.ids() == std::multiset<std::string>{"good"});
  auto asides = w.sink.asides();
  REQUIRE(asides.size() == 3);
  std::set<std::string> reasons;
  for (const auto& a : asides) {
    CHECK(a.source == "shm");
    reasons.insert(a.reason);
  }
  std::string all;
  for (const auto& r : reasons)
    all += r + "\n";
  CHECK_THAT(all, Catch::Contains("point_count 5") && Catch::Contains("not a plain") && Catch::Contains("UTF-8"));
}

TEST_CASE("a segment that was torn while it was read is taken again") {
  watching w;
  shm_name a(w.prefix, "a");
  int offers = 0;
  w.sink.judge = [&](const keyframe& k) {
    if (++offers > 1)
      return verdict{};
    auto s = with_value(5);
    a.overwrite_mapped(s.bytes());
    return verdict{outcome::refused, k.body->torn()};
  };
  w.start();
  a.write(segment_bytes{}.bytes());
  REQUIRE(w.sink.wait_for(2));
  w.stop();
  auto frames = w.sink.frames();
  REQUIRE(frames.size() == 2);
  CHECK(frames[1].body->points()[0] == 5);
  CHECK(frames[1].body->torn().empty());
}

TEST_CASE("a shared memory prefix must be a name") {
  for (const char* bad : {"shm:/", "shm:/a/b", "shm:/a..b", "shm:../x"})
    CHECK_THROWS_AS(make_source(bad, {}), std::invalid_argument);
}
