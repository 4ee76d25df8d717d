#include "net/sources/shm/segment_crew.hpp"

#include "shm_name.hpp"
#include "tests/support/segment_bytes.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <chrono>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

using namespace tessera;
using testing::segment_bytes;
using testing::shm_name;

namespace {

segment_bytes of(uint32_t points) {
  segment_bytes s;
  s.point_count = s.real_points = points;
  s.value = static_cast<float>(points);
  return s;
}

} // namespace

TEST_CASE("a crew reads segments whole, alone or with the one who asks") {
  const auto readers = GENERATE(0u, 1u, 4u);
  const bool mapped = GENERATE(false, true);
  host_memory memory(nullptr);
  std::atomic<int> told = 0;
  std::deque<shm_name> names;
  std::vector<std::shared_ptr<segment_reading>> readings;
  segment_crew crew(readers, [&] { ++told; });
  for (uint32_t points : {10u, 100'000u, 50'001u, 1u, 200'000u}) {
    names.emplace_back().write(of(points).bytes());
    readings.push_back(crew.begin(std::make_shared<shm_segment>(names.back().key(), mapped ? nullptr : &memory)));
  }
  while (crew.help())
    ;
  for (size_t i = 0; i < readings.size(); ++i) {
    while (!readings[i]->done())
      std::this_thread::yield();
    const auto& segment = readings[i]->result();
    CHECK(segment->points().back() == segment->points().front() + static_cast<float>(segment->points().size() - 1));
    CHECK(segment->content_digest() == shm_segment(names[i].key()).content_digest());
  }
  const auto again = std::make_shared<shm_segment>(names[1].key(), mapped ? nullptr : &memory);
  crew.read(again);
  CHECK(again->content_digest() == readings[1]->result()->content_digest());
  while (told < 6) // who is done tells after it
    std::this_thread::yield();
}

TEST_CASE("a segment that was cut short costs itself alone") {
  host_memory memory(nullptr);
  segment_crew crew(4, [] {});
  shm_name bad, good;
  bad.write(of(100'000).bytes());
  good.write(of(100'000).bytes());
  const auto shorter = std::make_shared<shm_segment>(bad.key(), &memory);
  bad.truncate(4096);
  CHECK_THROWS_AS(crew.read(shorter), segment_torn);
  const auto whole = std::make_shared<shm_segment>(good.key(), &memory);
  crew.read(whole);
  CHECK(whole->points()[0] == 100'000);
}

TEST_CASE("what a crew leaves is read by nobody, and holds nothing up") {
  host_memory memory(nullptr);
  segment_crew crew(1, [] {});
  shm_name name;
  name.write(of(100'000).bytes());
  const auto left = crew.begin(std::make_shared<shm_segment>(name.key(), &memory));
  CHECK(crew.help());
  crew.leave_all();
  CHECK_FALSE(crew.help());
  CHECK_FALSE(left->done());
  crew.read(std::make_shared<shm_segment>(name.key(), &memory));
}

TEST_CASE("all that is to be cleared away is, a few at a time") {
  std::atomic<int> cleared = 0, held = 0, most = 0;
  {
    segment_crew crew(GENERATE(1u, 4u), [] {});
    for (int i = 0; i < 40; ++i) {
      const auto now = ++held;
      most = std::max<int>(most, now);
      crew.clear_away([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        --held;
        ++cleared;
      });
    }
    CHECK(most <= static_cast<int>(segment_crew::most_to_clear) + 1);
    crew.clear_away([&] { ++cleared; });
    crew.clear_all();
    CHECK(cleared == 41);
    for (int i = 0; i < 3; ++i)
      crew.clear_away([&] { ++cleared; });
  }
  CHECK(cleared == 44);
}
