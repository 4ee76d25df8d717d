#include "net/formats/segment_header.hpp"

#include "net/base/bad_input.hpp"
#include "tests/support/segment_bytes.hpp"

#include <catch2/catch.hpp>

#include <limits>

using namespace tessera;
using testing::segment_bytes;

namespace {

segment_header parse(const std::vector<std::byte>& bytes) {
  return parse_segment_header(bytes, bytes.size());
}

std::string why_bad(const std::vector<std::byte>& bytes) {
  try {
    parse(bytes);
  } catch (const bad_input& e) {
    return e.what();
  }
  return "";
}

} // namespace

TEST_CASE("both segment layouts are told apart by their exact size") {
  for (uint32_t channels : {3u, 4u})
    for (uint32_t points : {1u, 2u, 3u, 1000u}) {
      segment_bytes s;
      s.point_count = s.real_points = points;
      s.channels = channels;
      s.long_form = false;
      auto h = parse(s.bytes());
      CHECK(h.header_bytes == 104);
      CHECK(h.point_count == points);
      CHECK(h.channels == channels);
      CHECK_FALSE(h.has_confidence);
      CHECK(h.colours_offset == 104 + 12 * points);
      CHECK(h.pose_matrix == s.pose);

      s.long_form = true;
      h = parse(s.bytes());
      CHECK(h.header_bytes == 108);
      CHECK(h.pose_matrix == s.pose);
      CHECK_FALSE(h.has_confidence);

      s.has_confidence = 1;
      h = parse(s.bytes());
      CHECK(h.has_confidence);
      CHECK(h.confidence_offset == 108 + (12 + channels) * uint64_t{points});
      CHECK(h.total_bytes == s.bytes().size());
    }
}

TEST_CASE("no channels in a header means three, in both layouts") {
  for (bool long_form : {false, true})
    for (uint32_t confidence : {0u, 1u}) {
      segment_bytes s;
      s.long_form = long_form;
      s.has_confidence = confidence;
      auto bytes = s.bytes();
      std::memset(bytes.data() + 12, 0, 4);
      auto h = parse(bytes);
      CHECK(h.channels == 3);
      CHECK(h.header_bytes == (long_form ? 108 : 104));
      auto frame = keyframe_of_message(bytes, {"a"}, pose_layout::automatic);
      CHECK(frame.body->channels() == 3);
      CHECK(frame.body->colours().size() == 30);
      CHECK(frame.body->colours()[29] == 29);
      CHECK(frame.body->confidence().size() == (long_form && confidence ? 10 : 0));
    }
}

TEST_CASE("a header that does not fit its segment is refused with the field and the bound") {
  segment_bytes s;
  SECTION("truncated header") {
    auto bytes = s.bytes();
    for (size_t size : {size_t{0}, size_t{1}, size_t{16}, size_t{103}}) {
      bytes.resize(size);
      CHECK_THAT(why_bad(bytes), Catch::Contains("truncated header"));
    }
  }
  SECTION("every truncation and one byte too many") {
    auto whole = s.bytes();
    for (size_t size = 104; size < whole.size(); ++size) {
      if (size == whole.size() - 4)
        continue; // that is the size of the other layout
      std::vector<std::byte> part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      CHECK_FALSE(why_bad(part).empty());
    }
    whole.push_back({});
    CHECK_THAT(why_bad(whole), Catch::Contains("does not fit"));
  }
  SECTION("point counts that lie") {
    s.point_count = 11;
    CHECK_THAT(why_bad(s.bytes()), Catch::Contains("point_count 11") && Catch::Contains("does not fit"));
    s.point_count = 0xffffffff;
    CHECK_THAT(why_bad(s.bytes()), Catch::Contains("4294967295") && Catch::Contains("4194304"));
    // 2^32 / 15 wraps around a 32-bit product to a small number.
    s.point_count = 286331154;
    CHECK_THAT(why_bad(s.bytes()), Catch::Contains("286331154"));
    s.point_count = max_keyframe_points;
    CHECK_THAT(why_bad(s.bytes()), Catch::Contains("does not fit"));
  }
  SECTION("an empty keyframe") {
    s.point_count = s.real_points = 0;
    CHECK_THAT(why_bad(s.bytes()), Catch::Contains("empty"));
  }
  SECTION("channels") {
    s.channels = 2;
    CHECK_THAT(why_bad(s.bytes()), Catch::Contains("channels is 2") && Catch::Contains("3 or 4"));
  }
  SECTION("colours missing") {
    auto bytes = s.bytes();
    bytes.resize(bytes.size() - 30);
    CHECK_THAT(why_bad(bytes), Catch::Contains("does not fit"));
  }
  SECTION("has_confidence") {
    auto bytes = s.bytes();
    bytes[16] = std::byte{1};
    CHECK_THAT(why_bad(bytes), Catch::Contains("has_confidence is 1") && Catch::Contains("does not fit"));
    bytes[16] = std::byte{2};
    CHECK_THAT(why_bad(bytes), Catch::Contains("has_confidence is 2") && Catch::Contains("0 or 1"));
  }
}

TEST_CASE("a pose is read in either layout") {
  std::array<float, 16> rows{0, -1, 0, 5, 1, 0, 0, 6, 0, 0, 1, 7, 0, 0, 0, 1}, columns{};
  for (size_t r = 0; r < 4; ++r)
    for (size_t c = 0; c < 4; ++c)
      columns[4 * c + r] = rows[4 * r + c];
  for (auto preferred : {pose_layout::automatic, pose_layout::row_major, pose_layout::column_major}) {
    CHECK(pose_of(rows, preferred).m == rows);
    CHECK(pose_of(columns, preferred).m == rows);
  }
  SECTION("without a translation the setting decides") {
    rows[3] = rows[7] = rows[11] = 0;
    auto turned = rows;
    std::swap(turned[1], turned[4]);
    CHECK(pose_of(rows, pose_layout::automatic).m == rows);
    CHECK(pose_of(rows, pose_layout::row_major).m == rows);
    CHECK(pose_of(rows, pose_layout::column_major).m == turned);
  }
  SECTION("a tiny translation is not taken for rounding") {
    std::array<float, 16> near{0, -1, 0, 1e-4f, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
    CHECK(pose_of(near, pose_layout::column_major).m == near);
  }
  SECTION("what is no pose is refused") {
    CHECK_THROWS_AS(pose_of({}, pose_layout::automatic), bad_input);
    rows[13] = 2;
    CHECK_THROWS_WITH(pose_of(rows, pose_layout::automatic), Catch::Contains("neither"));
    rows[13] = 1.1f * pose_tolerance;
    CHECK_THROWS_WITH(pose_of(rows, pose_layout::automatic), Catch::Contains("neither"));
    rows[13] = 0.9f * pose_tolerance;
    CHECK(pose_of(rows, pose_layout::automatic).m == rows);
    rows[13] = 0;
    rows[5] = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_WITH(pose_of(rows, pose_layout::automatic), Catch::Contains("element 5") && Catch::Contains("not a number"));
    rows[5] = std::numeric_limits<float>::infinity();
    CHECK_THROWS_WITH(pose_of(rows, pose_layout::automatic), Catch::Contains("infinite"));
  }
}

TEST_CASE("a message is a keyframe body without copying points or colours") {
  segment_bytes s;
  s.has_confidence = 1;
  auto bytes = s.bytes();
  const auto* where = bytes.data();
  auto frame = keyframe_of_message(std::move(bytes), {"a"}, pose_layout::automatic);
  CHECK(frame.id.value == "a");
  CHECK(frame.timestamp_ns == 7);
  CHECK(frame.world_from_camera.m == s.pose);
  REQUIRE(frame.body->size() == 10);
  CHECK(static_cast<const void*>(frame.body->points().data()) == where + 108);
  CHECK(frame.body->points()[4] == 5.5f);
  CHECK(frame.body->colours()[29] == 29);
  REQUIRE(frame.body->confidence().size() == 10);
  CHECK(frame.body->confidence()[9] == 9.25f);
}

TEST_CASE("ids, sessions and groups are UTF-8 without control characters, of limited length") {
  CHECK_NOTHROW(check_keyframe_id({"frame-1"}));
  CHECK_NOTHROW(check_keyframe_id({"\xc3\xa9t\xc3\xa9 \xf0\x9f\x90\xa2"}));
  CHECK_NOTHROW(check_keyframe_id({std::string(256, 'x')}));
  CHECK_NOTHROW(check_keyframe_id({"1", "\xc3\xa9t\xc3\xa9 2026"}));
  CHECK_NOTHROW(check_keyframe_id({"1", std::string(64, 'x')}));
  CHECK_NOTHROW(check_group(""));
  CHECK_NOTHROW(check_group(std::string(64, 'x')));
  const std::vector<std::string> never{std::string("a\nb"),    std::string("a\0b", 3),  std::string("\x7f"),
                                       std::string("\xff"),    std::string("\xc0\xaf"), std::string("\xed\xa0\x80"),
                                       std::string("\xe2\x82")};
  for (const auto& bad : never) {
    CHECK_THROWS_AS(check_keyframe_id({bad}), bad_input);
    CHECK_THROWS_AS(check_keyframe_id({"1", bad}), bad_input);
    CHECK_THROWS_AS(check_group(bad), bad_input);
  }
  CHECK_THROWS_WITH(check_keyframe_id({std::string()}), Catch::Contains("keyframe_id has 0 bytes, not 1 to 256"));
  CHECK_THROWS_WITH(check_keyframe_id({std::string(257, 'x')}), Catch::Contains("keyframe_id has 257 bytes, not 1 to 256"));
  CHECK_THROWS_WITH(check_keyframe_id({"1", std::string(65, 'x')}), Catch::Contains("session has 65 bytes, not 0 to 64"));
  CHECK_THROWS_WITH(check_group(std::string(65, 'x')), Catch::Contains("group has 65 bytes, not 0 to 64"));
}
