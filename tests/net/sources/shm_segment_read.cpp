#include "net/base/descriptor.hpp"
#include "taken_segment.hpp"

#include <catch2/catch.hpp>

using namespace tessera;
using testing::large;
using testing::segment_bytes;
using testing::shm_name;
using testing::sum;
using testing::take;
using testing::writers_mapping;

TEST_CASE("what was read into memory stays as it was, whatever becomes of the segment") {
  shm_name name;
  host_memory memory(nullptr);
  auto s = large();
  name.write(s.bytes());
  const auto segment = take(name, &memory);
  const auto whole = sum(*segment);
  SECTION("cut short") {
    name.truncate(104);
  }
  SECTION("written anew") {
    s.value = 7;
    name.write_in_place(s.bytes());
  }
  SECTION("written anew through a mapping") {
    s.value = 7;
    name.overwrite_mapped(s.bytes());
  }
  SECTION("renamed over") {
    name.write(segment_bytes{}.bytes());
  }
  CHECK(sum(*segment) == whole);
  CHECK(segment->torn().empty());
  CHECK_FALSE(segment->unlink()); // what lies there now is another keyframe
  CHECK(name.exists());
}

TEST_CASE("a segment that changes while it is read into memory is known as torn") {
  shm_name name;
  host_memory memory(nullptr);
  auto s = large();
  s.real_points = s.point_count = 100'000;
  name.write(s.bytes());
  shm_segment segment(name.key(), &memory);
  REQUIRE(segment.pieces() > 4);
  const auto read_from = [&](size_t first) {
    for (size_t piece = first; piece < segment.pieces(); ++piece)
      segment.read_piece(piece);
    segment.finish();
  };
  segment.read_piece(0);
  SECTION("cut short") {
    name.truncate(1000);
    CHECK_THROWS_AS(read_from(1), segment_torn);
  }
  SECTION("cut short, and put back to its size") {
    name.truncate(1000);
    name.truncate(s.bytes().size());
    CHECK_THROWS_AS(read_from(1), segment_torn);
  }
  SECTION("longer") {
    name.truncate(s.bytes().size() + 1);
    CHECK_THROWS_AS(read_from(1), segment_torn);
  }
  SECTION("written anew") {
    s.value = 7;
    name.overwrite_mapped(s.bytes());
    CHECK_THROWS_AS(read_from(1), segment_torn);
  }
  SECTION("its header alone") {
    s.pose[3] = 9;
    name.overwrite_mapped(s.bytes());
    CHECK_THROWS_AS(read_from(1), segment_torn);
  }
  SECTION("its header, before it was read") {
    s.channels = 4; // of as many bytes
    s.real_points = s.point_count = 93'750;
    name.overwrite_mapped(s.bytes());
    CHECK_THROWS_AS(read_from(0), segment_torn);
  }
  SECTION("renamed over: that is another segment") {
    name.write(segment_bytes{}.bytes());
    CHECK_NOTHROW(read_from(1));
    CHECK(segment.points().back() == 300'000.5f);
    CHECK_FALSE(segment.unlink());
  }
}

TEST_CASE("as long as somebody may write to a segment all of its content tells whether its name may go") {
  shm_name name;
  host_memory memory(nullptr);
  const auto bytes = large().bytes();
  name.write(bytes);
  const writers_mapping writer(name, bytes.size());
  const auto segment = take(name, GENERATE(false, true) ? &memory : nullptr);
  SECTION("it is as it was") {
    CHECK(segment->unlink());
    CHECK_FALSE(name.exists());
  }
  SECTION("one bit of one point, which no sample has") {
    writer[108 + 12 * 7777 + 2] ^= std::byte{1};
    CHECK(segment->torn().empty());
    CHECK_FALSE(segment->unlink());
    CHECK(name.exists());
  }
}

TEST_CASE("who may write to a segment is known") {
  shm_name name;
  const auto bytes = segment_bytes{}.bytes();
  name.write(bytes);
  const auto file = open_segment(name.key());
  CHECK_FALSE(may_be_written(file));
  {
    const descriptor writer(shm_open(name.key().c_str(), O_RDWR, 0));
    CHECK(may_be_written(file));
  }
  CHECK_FALSE(may_be_written(file));
  {
    const writers_mapping writer(name, bytes.size());
    CHECK(may_be_written(file));
  }
  CHECK_FALSE(may_be_written(file));
}
