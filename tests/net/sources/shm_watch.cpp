#include "net/sources/shm/shm_watch.hpp"

#include "net/base/utf8.hpp"
#include "net/sources/shm/segment_history.hpp"
#include "net/sources/shm/segment_name.hpp"
#include "watching.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <deque>
#include <new>
#include <set>
#include <thread>

using namespace tessera;
using testing::no_descriptors;
using testing::other_user;
using testing::segment_bytes;
using testing::shm_name;
using testing::watching;
using testing::with_value;

TEST_CASE("segments that are there and segments that come are taken, and left in place if so set") {
  source_options o;
  o.shm.unlink = false;
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
  for (int i = 0; i < 24'000 && (a.exists() || refused.exists()); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  w.stop();
  CHECK(there_while_judged);
  CHECK_FALSE(a.exists());
  CHECK_FALSE(refused.exists());
  CHECK_FALSE(no_pose.exists());
  CHECK(foreign.exists()); // fits no header: perhaps not a keyframe at all
}

TEST_CASE("a name that was in the map before this watch began, with other content, is another keyframe") {
  watching w;
  shm_name a(w.prefix, "a");
  std::atomic<bool> there_while_judged = true;
  w.sink.judge = [&](const keyframe& k) {
    there_while_judged = there_while_judged && a.exists();
    return k.id.value == "a" ? verdict{outcome::conflict, "it is live, with other points"} : verdict{};
  };
  w.start();
  a.write(with_value(2).bytes());
  REQUIRE(w.sink.wait_for(2));
  CHECK(w.sink.wait([&] { return !a.exists(); }));
  w.stop();
  CHECK(there_while_judged);
  const auto frames = w.sink.frames();
  REQUIRE(frames.size() == 2);
  CHECK(frames[0].id.value == "a");
  CHECK(frames[1].id.value.starts_with("a@"));
  CHECK(frames[1].body->points()[0] == frames[0].body->points()[0]);
  CHECK(w.sink.asides().empty());
}

TEST_CASE("what a name was first is remembered as long as it is not the one that went longest ago") {
  segment_history history{3};
  const auto come_and_go = [&](const std::string& name) {
    history[name].first_digest = 7;
    history.forget(name);
  };
  for (int i = 0; i < 10; ++i) // one name that comes again and again takes one place
    come_and_go("often");
  CHECK(history["often"].first_digest == 7);
  for (const auto* name : {"b", "c", "d"})
    come_and_go(name);
  CHECK_FALSE(history["often"].first_digest);
  CHECK(history["d"].first_digest == 7);
}

TEST_CASE("a segment renamed into place is taken") {
  watching w;
  shm_name hidden, a(w.prefix, "a");
  w.start();
  hidden.write(segment_bytes{}.bytes());
  hidden.rename_to(a);
  CHECK(w.sink.wait_for(1));
}

TEST_CASE("a name that comes back with other content is another keyframe, with the same content the same") {
  watching w;
  shm_name a(w.prefix, "a");
  w.start();
  a.write(segment_bytes{}.bytes());
  REQUIRE(w.sink.wait_for(1));
  a.write(with_value(9).bytes());
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
  source_options o;
  o.shm.patience_ms = 600'000; // however slow this writer is
  watching w(o);
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

TEST_CASE("a segment that was torn while it was read is taken again, under its own id") {
  auto what = GENERATE(outcome::refused, outcome::not_now);
  watching w;
  shm_name a(w.prefix, "a");
  int offers = 0;
  w.sink.judge = [&](const keyframe& k) {
    if (++offers > 1)
      return verdict{};
    auto s = with_value(5);
    a.overwrite_mapped(s.bytes());
    return verdict{what, k.body->torn()};
  };
  w.start();
  a.write(segment_bytes{}.bytes());
  REQUIRE(w.sink.wait_for(2));
  CHECK(w.sink.wait([&] { return !a.exists(); }));
  w.stop();
  auto frames = w.sink.frames();
  REQUIRE(frames.size() == 2);
  CHECK(frames[1].id.value == "a");
  CHECK(frames[1].body->points()[0] == 5);
  CHECK(frames[1].body->torn().empty());
  CHECK(w.sink.asides().empty());
}

TEST_CASE("what the service cannot take now stays, and is tried again until it can") {
  watching w;
  shm_name a(w.prefix, "a"), b(w.prefix, "b");
  std::atomic<bool> full = true;
  w.sink.judge = [&](const keyframe&) { return full ? verdict{outcome::not_now, "the disk is full"} : verdict{}; };
  w.start();
  a.write(segment_bytes{}.bytes());
  b.write(with_value(2).bytes());
  REQUIRE(w.sink.wait_for(4));
  CHECK(a.exists());
  CHECK(b.exists());
  full = false;
  CHECK(w.sink.wait([&] { return !a.exists() && !b.exists(); }));
  w.stop();
  auto ids = w.ids();
  CHECK(ids.count("a") + ids.count("b") == ids.size());
  CHECK(w.sink.asides().empty());
}

TEST_CASE("while the service is short of something few segments are tried at a time") {
  watching w;
  w.sink.judge = [&](const keyframe&) { return verdict{outcome::not_now, "the disk is full"}; };
  std::deque<shm_name> many;
  for (int i = 0; i < 200; ++i)
    many.emplace_back(w.prefix, std::to_string(i)).write(segment_bytes{}.bytes());
  w.start();
  REQUIRE(w.sink.wait_for(3));
  w.stop();
  CHECK(w.sink.frames().size() < 20);
  CHECK(std::all_of(many.begin(), many.end(), [](const shm_name& each) { return each.exists(); }));
}

TEST_CASE("a keyframe that could not even be offered comes again") {
  watching w;
  shm_name a(w.prefix, "a");
  std::atomic<int> offers = 0;
  w.sink.judge = [&](const keyframe&) {
    if (++offers == 1)
      throw std::bad_alloc();
    return verdict{};
  };
  w.start();
  a.write(segment_bytes{}.bytes());
  CHECK(w.sink.wait([&] { return !a.exists(); }));
  w.stop();
  CHECK(offers == 2);
}

TEST_CASE("a segment that is replaced while the service cannot take it is taken as it is then, under its own id") {
  watching w;
  shm_name a(w.prefix, "a");
  std::atomic<bool> full = true;
  w.sink.judge = [&](const keyframe&) { return full ? verdict{outcome::not_now, "the disk is full"} : verdict{}; };
  w.start();
  a.write(segment_bytes{}.bytes());
  REQUIRE(w.sink.wait_for(1));
  a.write(with_value(9).bytes());
  REQUIRE(w.sink.wait_for(2));
  full = false;
  REQUIRE(w.sink.wait([&] { return !a.exists(); }));
  w.stop();
  auto last = w.sink.frames().back();
  CHECK(last.id.value == "a");
  CHECK(last.body->points()[0] == 9);
}

TEST_CASE("a segment that is written again while it is judged is not unlinked, but taken again") {
  watching w;
  shm_name a(w.prefix, "a");
  w.sink.judge = [&](const keyframe& k) {
    if (k.body->points()[0] == 1.5f)
      a.write_in_place(with_value(5).bytes());
    return verdict{};
  };
  w.start();
  a.write(segment_bytes{}.bytes());
  REQUIRE(w.sink.wait_for(2));
  CHECK(w.sink.wait([&] { return !a.exists(); }));
  w.stop();
  auto frames = w.sink.frames();
  REQUIRE(frames.size() == 2);
  CHECK(frames[1].body->points()[0] == 5);
  CHECK(frames[1].id.value.starts_with("a@"));
}

TEST_CASE("a watch that has no descriptor left goes on when there are some") {
  watching w;
  shm_name a(w.prefix, "a"), b(w.prefix, "b"), hidden;
  w.start();
  a.write(segment_bytes{}.bytes());
  REQUIRE(w.sink.wait_for(1));
  hidden.write(with_value(2).bytes()); // it comes under its name when no descriptor is left
  {
    no_descriptors none;
    hidden.rename_to(b);
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    CHECK(w.sink.asides().empty());
  }
  CHECK(w.sink.wait([&] { return !b.exists(); }));
  CHECK(w.ids().count("b") == 1);
  w.stop();
}

TEST_CASE("a segment that may not be read is set aside once, and taken when it may be") {
  watching w;
  shm_name a(w.prefix, "a"), b(w.prefix, "b");
  if (geteuid() != 0)
    return;
  w.as_other_user = true;
  a.write(segment_bytes{}.bytes());
  REQUIRE(chmod(a.path().c_str(), 0600) == 0);
  w.start();
  REQUIRE(w.sink.wait_for(0, 1));
  std::this_thread::sleep_for(std::chrono::milliseconds(800)); // it is tried again meanwhile, without a word
  CHECK(w.sink.asides().size() == 1);
  CHECK_THAT(w.sink.asides().front().reason, Catch::Contains("has mode 600") && Catch::Contains("umask"));
  REQUIRE(chmod(a.path().c_str(), 0644) == 0);
  REQUIRE(w.sink.wait_for(1, 1));
  CHECK(w.ids() == std::multiset<std::string>{"a"});
  w.stop();
}

TEST_CASE("content decides whether a name that comes again is another keyframe") {
  source_options o;
  o.shm.unlink = false;
  watching w(o);
  shm_name a(w.prefix, "a");
  segment_bytes s;
  s.point_count = s.real_points = 20'000;
  auto bytes = s.bytes();
  w.start();
  a.write(bytes);
  REQUIRE(w.sink.wait_for(1));
  bytes[108 + 12 * 7777 + 3] ^= std::byte{1}; // one coordinate of one point
  SECTION("renamed into place") {
    a.write(bytes);
  }
  SECTION("written in place") {
    a.write_in_place(bytes);
  }
  SECTION("written through a mapping, which changes no time") {
    a.overwrite_mapped(bytes);
  }
  REQUIRE(w.sink.wait_for(2));
  w.stop();
  CHECK(w.sink.frames()[1].id.value.starts_with("a@"));
}

TEST_CASE("what is written through a mapping is seen, also when the segment came by a rename") {
  source_options o;
  o.shm.unlink = false;
  watching w(o);
  shm_name a(w.prefix, "a");
  w.start();
  a.write(segment_bytes{}.bytes()); // and closed before it has its name
  REQUIRE(w.sink.wait_for(1));
  a.overwrite_mapped(with_value(9).bytes());
  REQUIRE(w.sink.wait_for(2));
  w.stop();
  CHECK(w.sink.frames()[1].body->points()[0] == 9);
}

TEST_CASE("a long name used again stays an id") {
  watching w(source_options{}, "/" + std::to_string(getpid()) + "-");
  std::string umlauts;
  while (umlauts.size() + w.prefix.size() < 254)
    umlauts += "\xc3\xa4";
  shm_name a(w.prefix, umlauts);
  w.start();
  a.write(segment_bytes{}.bytes());
  REQUIRE(w.sink.wait_for(1));
  a.write(with_value(9).bytes());
  REQUIRE(w.sink.wait_for(2));
  w.stop();
  auto id = w.sink.frames()[1].id.value;
  CHECK(id.size() <= keyframe_id::max_bytes);
  CHECK(id.find('@') != std::string::npos);
  CHECK(is_utf8(id));
  CHECK(w.sink.asides().empty());
}

TEST_CASE("ids with a digest are valid and stay apart") {
  CHECK(id_with_digest("a", 0xabc) == "a@0000000000000abc");
  std::string most(239, 'x');
  CHECK(id_with_digest(most, 1) == most + "@0000000000000001");
  auto one = id_with_digest(most + "1", 1), two = id_with_digest(most + "2", 1);
  CHECK(one.size() == 256);
  CHECK(one != two);
  CHECK(one != id_with_digest(most + "1", 2));
  for (size_t bytes = 240; bytes <= 256; ++bytes)
    for (const char* character : {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80"}) {
      std::string id(bytes % std::string_view(character).size(), 'x');
      while (id.size() < bytes)
        id += character;
      auto made = id_with_digest(id, 7);
      CHECK(made.size() <= 256);
      CHECK(made.size() > 250);
      CHECK(is_utf8(made));
    }
}

TEST_CASE("a segment's name tells session and id") {
  auto id = [](const char* rest) { return id_of_segment(std::string("/p_") + rest, "/p_"); };
  CHECK(id("7") == keyframe_id{"7", ""});
  CHECK(id("~run 1~7") == keyframe_id{"7", "run 1"});
  CHECK(id("~run~a~b") == keyframe_id{"a~b", "run"});
  // Names that other producers may have: none of them names a session.
  for (const char* other : {"a~b~c", "~", "~~", "~~7", "~7", "~run~"})
    CHECK(id(other) == keyframe_id{other, ""});
  auto longest = std::string(64, 's'), longer = longest + "s";
  CHECK(id(("~" + longest + "~7").c_str()).session == longest);
  CHECK(id(("~" + longer + "~7").c_str()).session.empty());
}

TEST_CASE("the same id of two sessions is two keyframes") {
  watching w;
  shm_name one(w.prefix, "~one~0"), two(w.prefix, "~two~0"), none(w.prefix, "0");
  w.start();
  one.write(segment_bytes{}.bytes());
  two.write(with_value(2).bytes());
  none.write(with_value(3).bytes());
  REQUIRE(w.sink.wait_for(3));
  w.stop();
  std::set<std::string> sessions;
  for (const auto& k : w.sink.frames()) {
    CHECK(k.id.value == "0");
    CHECK(k.source == "shm");
    sessions.insert(k.id.session);
  }
  CHECK(sessions == std::set<std::string>{"", "one", "two"});
}

TEST_CASE("a watch clears away what a killed producer left half written") {
  watching w;
  w.start();
  shm_name a(w.prefix, "a");
  a.write(segment_bytes{}.bytes());
  REQUIRE(w.sink.wait_for(1)); // it is at work
  shm_name left("/.tessera-writing-1-2-", std::to_string(getpid())), held("/.tessera-writing-1-3-", std::to_string(getpid()));
  held.write_in_place(segment_bytes{}.bytes());
  int writer = open(held.path().c_str(), O_WRONLY);
  left.write_in_place(segment_bytes{}.bytes()); // and is closed, as by the end of its process
  CHECK(w.sink.wait([&] { return !left.exists(); }));
  CHECK(held.exists());
  close(writer);
  CHECK(w.sink.wait([&] { return !held.exists(); }));
  w.stop();
}

TEST_CASE("a shared memory prefix must be a name") {
  for (const char* bad : {"shm:/", "shm:/a/b", "shm:/a..b", "shm:../x"})
    CHECK_THROWS_AS(make_source(bad, {}), std::invalid_argument);
}
