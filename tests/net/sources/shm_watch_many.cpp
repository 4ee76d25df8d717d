#include "net/base/descriptor.hpp"
#include "watching.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <deque>
#include <map>
#include <string>

using namespace tessera;
using testing::segment_bytes;
using testing::shm_name;
using testing::watching;

TEST_CASE("one bit that is changed while a segment is judged makes another keyframe") {
  watching w;
  shm_name a(w.prefix, "a");
  segment_bytes s;
  s.point_count = s.real_points = 20'000;
  const auto bytes = s.bytes();
  std::byte* written = nullptr; // as by a producer that keeps its mapping
  w.sink.judge = [&](const keyframe&) {
    written[108 + 12 * 7777 + 2] = bytes[108 + 12 * 7777 + 2] ^ std::byte{1};
    return verdict{};
  };
  const descriptor file(shm_open(a.key().c_str(), O_CREAT | O_RDWR, 0600));
  REQUIRE(ftruncate(file.get(), static_cast<off_t>(bytes.size())) == 0);
  void* at = mmap(nullptr, bytes.size(), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  REQUIRE(at != MAP_FAILED);
  written = static_cast<std::byte*>(at);
  std::memcpy(written, bytes.data(), bytes.size());
  w.start();
  REQUIRE(w.sink.wait_for(2));
  CHECK(w.sink.wait([&] { return !a.exists(); }));
  w.stop();
  munmap(at, bytes.size());
  CHECK(w.sink.frames()[1].id.value.starts_with("a@"));
}

TEST_CASE("segments are offered in the order in which they came, however large they are") {
  watching w;
  constexpr int count = 120;
  std::deque<shm_name> hidden, names;
  for (int i = 0; i < count; ++i) {
    segment_bytes s;
    s.point_count = s.real_points = i % 3 == 0 ? 100'000 : 10;
    hidden.emplace_back().write(s.bytes());
    names.emplace_back(w.prefix, std::to_string(i));
  }
  shm_name first(w.prefix, "first");
  first.write(segment_bytes{}.bytes());
  w.start();
  REQUIRE(w.sink.wait_for(1)); // it is at work
  w.sink.clear();
  for (size_t i = 0; i < count; ++i)
    hidden[i].rename_to(names[i]);
  REQUIRE(w.sink.wait_for(count));
  CHECK(w.sink.wait([&] { return std::none_of(names.begin(), names.end(), [](const auto& n) { return n.exists(); }); }));
  w.stop();
  const auto frames = w.sink.frames();
  REQUIRE(frames.size() == count);
  int in_order = 0;
  for (size_t i = 0; i < count; ++i)
    in_order += frames[i].id.value == std::to_string(i) && frames[i].body->points().back() == (i % 3 == 0 ? 300'000.5f : 30.5f);
  CHECK(in_order == count);
}

TEST_CASE("what was taken has gone when a watch ends, and nothing else has") {
  watching w;
  std::deque<shm_name> names;
  segment_bytes s;
  s.point_count = s.real_points = 50'000;
  for (int i = 0; i < 60; ++i)
    names.emplace_back(w.prefix, std::to_string(i)).write(s.bytes());
  w.start();
  REQUIRE(w.sink.wait_for(20));
  w.stop();
  const auto ids = w.ids();
  size_t taken = 0, left = 0;
  for (size_t i = 0; i < names.size(); ++i)
    ++(names[i].exists() ? left : taken);
  CHECK(taken == ids.size());
  for (const auto& id : ids)
    CHECK(access(("/dev/shm" + w.prefix + id).c_str(), F_OK) != 0);
}

TEST_CASE("segments that are renamed over all the time are taken whole, and the last of each name at last") {
  watching w;
  constexpr int rounds = 200, ids = 5;
  std::atomic<int> mixed = 0;
  w.sink.judge = [&](const keyframe& k) {
    const auto p = k.body->points();
    mixed += p.back() - p.front() != static_cast<float>(p.size() - 1);
    return verdict{};
  };
  w.start();
  std::deque<shm_name> names;
  for (int i = 0; i < ids; ++i)
    names.emplace_back(w.prefix, std::to_string(i));
  segment_bytes s;
  s.point_count = s.real_points = 30'000;
  for (int round = 1; round <= rounds; ++round) {
    s.value = static_cast<float>(round);
    names[static_cast<size_t>(round % ids)].write(s.bytes());
  }
  CHECK(w.sink.wait([&] { return std::none_of(names.begin(), names.end(), [](const auto& n) { return n.exists(); }); }));
  w.stop();
  CHECK(mixed == 0);
  std::map<std::string, float> last;
  for (const auto& k : w.sink.frames())
    last[k.id.value.substr(0, 1)] = k.body->points()[0];
  for (int i = 0; i < ids; ++i)
    CHECK(last[std::to_string(i)] == static_cast<float>(i == 0 ? rounds : rounds - ids + i));
}
