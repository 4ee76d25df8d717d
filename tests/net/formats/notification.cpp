#include "net/formats/notification.hpp"

#include "net/base/bad_input.hpp"
#include "net/formats/msgpack.hpp"
#include "net/formats/revisions.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <limits>

using namespace tessera;
using nlohmann::json;

namespace {

using bytes = std::vector<uint8_t>;

notification parse(const bytes& b, std::string_view key = "keyframe.new") {
  return parse_notification(std::as_bytes(std::span(b)), key);
}
notification parse(const json& j, std::string_view key = "keyframe.new") {
  return parse(json::to_msgpack(j), key);
}

template <class T>
std::string why_bad(const T& what, std::string_view key = "keyframe.new") {
  try {
    parse(what, key);
  } catch (const bad_input& e) {
    return e.what();
  }
  return "";
}

json whole() {
  return {{"type", "keyframe.new"},
          {"keyframe_id", "kf_12"},
          {"timestamp_ns", 1700000000123456789},
          {"pose_matrix", {{1.0, 0.0, 0.0, 0.5}, {0.0, 1.0, 0.0, -2}, {0, 0, 1, 3}, {0, 0, 0, 1}}},
          {"shm_key", "/slam3r_keyframe_kf_12"},
          {"point_count", 50000},
          {"bbox", {-1.0, -1.0, -1.0, 1.0, 1.0, 1.0}}};
}

json without(const char* key) {
  auto j = whole();
  j.erase(key);
  return j;
}

json with(const char* key, json value) {
  auto j = whole();
  j[key] = std::move(value);
  return j;
}

} // namespace

TEST_CASE("a notification may name a session and a group") {
  CHECK(parse(whole()).id == keyframe_id{"kf_12"});
  CHECK(parse(whole()).group.empty());
  auto n = parse(with("session", "tuesday \xc3\xa9"));
  CHECK(n.id == keyframe_id{"kf_12", "tuesday \xc3\xa9"});
  CHECK(parse(with("group", "floor 2")).group == "floor 2");
  CHECK(parse(with("session", nullptr)).id.session.empty());
  CHECK(parse(with("session", "")).id.session.empty());
  for (const char* what : {"keyframe.revise", "keyframe.retract"}) {
    auto j = with("session", "tuesday");
    j["type"] = what;
    CHECK(parse(j).id == keyframe_id{"kf_12", "tuesday"});
  }
  CHECK(why_bad(with("session", std::string(65, 'x'))) == "session has 65 bytes, not 0 to 64");
  CHECK_THAT(why_bad(with("session", "a\nb")), Catch::Contains("session") && Catch::Contains("control character"));
  CHECK_THAT(why_bad(with("session", 7)), Catch::Contains("session is an integer"));
  CHECK(why_bad(with("group", std::string(65, 'x'))) == "group has 65 bytes, not 0 to 64");
}

TEST_CASE("a notification as SLAM3R deployments send it is read") {
  auto n = parse(whole());
  CHECK(n.what == notification::type::fresh);
  CHECK(n.id.value == "kf_12");
  CHECK(n.timestamp_ns == 1700000000123456789u);
  REQUIRE(n.world_from_camera);
  CHECK(n.world_from_camera->m == std::array<float, 16>{1, 0, 0, 0.5f, 0, 1, 0, -2, 0, 0, 1, 3, 0, 0, 0, 1});
  CHECK(n.shm_key == "/slam3r_keyframe_kf_12");
  CHECK(n.point_count == 50000u);
  REQUIRE(n.bbox);
  CHECK((*n.bbox)[3] == 1);
}

TEST_CASE("unknown keys are ignored, optional ones may be missing or nil") {
  auto j = whole();
  j["extra"] = {{"deep", {1, 2, {{"er", nullptr}}}}, {"list", std::vector<int>(100, 7)}};
  j["binary"] = json::binary({1, 2, 3}, 5);
  CHECK(parse(j).id.value == "kf_12");
  for (const char* key : {"timestamp_ns", "pose_matrix", "shm_key", "point_count", "bbox", "type"}) {
    INFO(key);
    CHECK(parse(without(key)).id.value == "kf_12");
    if (std::string(key) != "type")
      CHECK(parse(with(key, nullptr)).id.value == "kf_12");
  }
  CHECK(parse(json{{"keyframe_id", "x"}}, "keyframe.retract").what == notification::type::retract);
}

TEST_CASE("an id that is an integer is its decimal digits") {
  CHECK(parse(with("keyframe_id", 5)).id.value == "5");
  CHECK(parse(with("keyframe_id", 0)).id.value == "0");
  CHECK(parse(with("keyframe_id", -7)).id.value == "-7");
  CHECK(parse(with("keyframe_id", 40'000)).id.value == "40000");
  CHECK(parse(with("keyframe_id", std::numeric_limits<uint64_t>::max())).id.value == "18446744073709551615");
  CHECK(parse(with("keyframe_id", std::numeric_limits<int64_t>::min())).id.value == "-9223372036854775808");
}

TEST_CASE("all three types are read, and others refused") {
  CHECK(parse(with("type", "keyframe.revise")).what == notification::type::revise);
  CHECK(parse(with("type", "keyframe.retract")).what == notification::type::retract);
  CHECK_THAT(why_bad(with("type", "mesh.new")), Catch::Contains("type is 'mesh.new'"));
  CHECK_THAT(why_bad(without("type"), "keyframe.other"), Catch::Contains("keyframe.other"));
  auto j = without("pose_matrix");
  j["type"] = "keyframe.revise";
  CHECK_THAT(why_bad(j), Catch::Contains("pose_matrix is missing"));
}

TEST_CASE("a keyframe.revise may be of many, or of a group, and carry a number") {
  const json flat{1, 0, 0, 4, 0, 1, 0, 5, 0, 0, 1, 6, 0, 0, 0, 1};
  auto j = with("type", "keyframe.revise");
  j["revision"] = 7;
  CHECK(parse(j).revision == 7u);
  CHECK_FALSE(parse(j).many);
  const json many{
    {"type", "keyframe.revise"},
    {"timestamp_ns", 5}, // what else a notification may have
    {"session", "monday"},
    {"revisions", {{{"id", "a"}, {"pose", flat}}, {{"id", "b"}, {"session", ""}, {"pose", flat}, {"revision", 3}}}}};
  const auto two = parse(many).many.value().entries;
  REQUIRE(two.size() == 2);
  CHECK(two[0].id == keyframe_id{"a", "monday"});
  CHECK(two[0].to.m[11] == 6);
  CHECK_FALSE(two[0].number);
  CHECK(two[1].id == keyframe_id{"b"});
  CHECK(two[1].number == 3u);
  const auto group = parse(json{{"group", "g"}, {"transform", flat}, {"revision", 9}}, "keyframe.revise").many.value().entries;
  REQUIRE(group.size() == 1);
  CHECK(group[0].group == "g");
  CHECK(group[0].number == 9u);
  auto bad = many;
  bad["revisions"][1]["pose"][2] = "x";
  CHECK(why_bad(bad) == "revisions[1].pose[2] is a text, must be a number");
  bad = many;
  bad["revisions"][1]["scale"] = 2;
  CHECK_THAT(why_bad(bad), Catch::StartsWith("revisions[1].scale is not known"));
  CHECK_FALSE(parse(with("revisions", json::array())).many); // it means nothing in a keyframe.new
}

TEST_CASE("wrong types and values are refused by name") {
  CHECK_THAT(why_bad(without("keyframe_id")), Catch::Contains("keyframe_id is missing"));
  CHECK_THAT(why_bad(with("keyframe_id", 5.0)), Catch::Contains("keyframe_id is a float, must be a text"));
  CHECK_THAT(why_bad(with("keyframe_id", true)), Catch::Contains("keyframe_id is a boolean"));
  CHECK_THAT(why_bad(with("keyframe_id", nullptr)), Catch::Contains("keyframe_id is nil"));
  CHECK_THAT(why_bad(with("keyframe_id", "")), Catch::Contains("0 bytes, not 1 to 256"));
  CHECK_THAT(why_bad(with("keyframe_id", std::string(300, 'k'))), Catch::Contains("300"));
  CHECK_THAT(why_bad(with("timestamp_ns", "now")), Catch::Contains("timestamp_ns is a text"));
  CHECK_THAT(why_bad(with("timestamp_ns", -5)), Catch::Contains("timestamp_ns is -5"));
  CHECK_THAT(why_bad(with("timestamp_ns", 1.5)), Catch::Contains("timestamp_ns is a float"));
  CHECK_THAT(why_bad(with("point_count", 0xffffffffu)), Catch::Contains("4294967295"));
  CHECK_THAT(why_bad(with("point_count", -1)), Catch::Contains("negative"));
  CHECK_THAT(why_bad(with("shm_key", 1)), Catch::Contains("shm_key is an integer"));
  CHECK_THAT(why_bad(with("bbox", {1, 2})), Catch::Contains("bbox has 2 elements, must have 6"));
  CHECK_THAT(why_bad(with("pose_matrix", "identity")), Catch::Contains("pose_matrix is a text"));
  CHECK_THAT(why_bad(with("pose_matrix", {1, 2, 3})), Catch::Contains("pose_matrix has 3 elements"));
  CHECK_THAT(why_bad(with("pose_matrix", json::array({{1, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}}))),
             Catch::Contains("pose_matrix[0] has 3 elements"));
  auto j = whole();
  j["pose_matrix"][1][2] = std::numeric_limits<double>::quiet_NaN();
  CHECK_THAT(why_bad(j), Catch::Contains("pose_matrix[1][2] is not a number"));
  j["pose_matrix"][1][2] = -std::numeric_limits<double>::infinity();
  CHECK_THAT(why_bad(j), Catch::Contains("infinite"));
  j["pose_matrix"][1][2] = 1e300;
  CHECK_THAT(why_bad(j), Catch::Contains("32-bit float"));
  j["pose_matrix"][1][2] = "0";
  CHECK_THAT(why_bad(j), Catch::Contains("pose_matrix[1][2] is a text, must be a number"));
}

TEST_CASE("every truncation of a notification is refused") {
  auto all = json::to_msgpack(whole());
  for (size_t size = 0; size < all.size(); ++size)
    CHECK_FALSE(why_bad(bytes(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(size))).empty());
  all.push_back(0xc0);
  CHECK_THAT(why_bad(all), Catch::StartsWith("message: ") && Catch::Contains("expected end of input; last byte: 0xC0"));
}

TEST_CASE("MessagePack that claims more than it has costs nothing") {
  CHECK_THAT(why_bad(bytes{0xdf, 0xff, 0xff, 0xff, 0xff}), Catch::Contains("4294967295"));
  CHECK_THAT(why_bad(bytes{0xdd, 0xff, 0xff, 0xff, 0xff}), Catch::Contains("4294967295"));
  CHECK_FALSE(why_bad(bytes{0x81, 0xdb, 0xff, 0xff, 0xff, 0xff}).empty());
  // An unknown key with a list that claims 2^32 - 1 elements, and one with a binary that does.
  CHECK_THAT(why_bad(bytes{0x81, 0xa1, 'x', 0xdd, 0xff, 0xff, 0xff, 0xff, 0xc0}),
             Catch::Contains("x claims 4294967295 elements, but the message has only 9 bytes"));
  CHECK_FALSE(why_bad(bytes{0x81, 0xa1, 'x', 0xc6, 0xff, 0xff, 0xff, 0xff, 0xc0}).empty());
  CHECK_FALSE(why_bad(bytes{0x81, 0xa1, 'x', 0xc9, 0xff, 0xff, 0xff, 0xff, 0xc0}).empty());
  CHECK_THAT(why_bad(bytes{0xc1}), Catch::Contains("invalid byte: 0xC1"));
  CHECK_THAT(why_bad(bytes{}), Catch::Contains("unexpected end of input"));
  CHECK_THAT(why_bad(bytes(max_notification_bytes + 1, 0xc0)), Catch::Contains("1048576"));
}

TEST_CASE("nesting 10,000 deep is refused, not followed") {
  for (uint8_t head : {uint8_t{0x91}, uint8_t{0x81}}) {
    bytes deep{0x81, 0xa1, 'x'};
    for (int i = 0; i < 10'000; ++i) {
      deep.push_back(head);
      if (head == 0x81)
        deep.push_back(0xa0);
    }
    deep.push_back(0xc0);
    CHECK_THAT(why_bad(deep), Catch::Contains("nested deeper"));
  }
  CHECK_THAT(why_bad(bytes(10'000, 0x91)), Catch::Contains("nested deeper"));
  CHECK_THAT(why_bad(json::array({1})), Catch::Contains("notification is a list, must be a map"));
  auto nested = [](size_t levels) {
    json value = 1;
    for (size_t i = 0; i < levels; ++i)
      value = json::array({std::move(value)});
    return with("x", std::move(value));
  };
  CHECK(why_bad(nested(max_msgpack_depth - 1)).empty());
  CHECK_THAT(why_bad(nested(max_msgpack_depth)), Catch::Contains("x is nested deeper than 32 levels"));
}

TEST_CASE("more values than the largest correction has are refused before there is memory for them") {
  const auto list = [](size_t count, uint8_t of) { // of so many empty maps, say
    bytes out{0xdd, static_cast<uint8_t>(count >> 24), static_cast<uint8_t>(count >> 16), static_cast<uint8_t>(count >> 8),
              static_cast<uint8_t>(count)};
    out.resize(out.size() + count, of);
    return out;
  };
  const auto read = [](const bytes& all) { return read_msgpack(std::as_bytes(std::span(all))); };
  CHECK(read(list(max_values - 1, 0xc0)).size() == max_values - 1); // the list is one as well
  for (const uint8_t of : bytes{0xc0, 0x80})
    CHECK_THROWS_WITH(read(list(max_values, of)), Catch::Contains("message has more values") && Catch::Contains("2097152"));
  // Keys count, too: with them these are twice as many.
  bytes keys = list(max_values / 3 + 1, 0x81);
  keys.resize(5);
  for (size_t i = 0; i < max_values / 3 + 1; ++i)
    for (const uint8_t b : bytes{0x81, 0xa0, 0xc0})
      keys.push_back(b);
  CHECK_THROWS_WITH(read(keys), Catch::Contains("2097152"));
  // And in JSON, where what is inside a text is not counted.
  const auto read_json = [](const std::string& all) { return read_revisions_body(std::as_bytes(std::span(all)), false); };
  std::string text = R"({"revisions":[{})";
  for (size_t i = 0; i < max_values; ++i)
    text += ",{}";
  CHECK_THROWS_WITH(read_json(text + "]}"), Catch::Contains("the body has more values") && Catch::Contains("2097152"));
  CHECK_THROWS_WITH(read_json(R"({"a\"":")" + std::string(max_values + 1, ',') + R"("})"), Catch::Contains("not known"));
}

TEST_CASE("a correction is written as it is read, in as many bodies as it needs, keyframes before groups") {
  correction many;
  for (int i = 0; i < 50; ++i) {
    correction_entry one{{"k" + std::to_string(i), i % 2 ? "monday" : ""}, {}, {}, {}};
    if (i % 7 == 3)
      one = {{}, "floor " + std::to_string(i), {}, static_cast<uint64_t>(i)};
    one.to.m[3] = 0.333333343f * static_cast<float>(i);
    if (i % 5 == 0)
      one.number = (uint64_t{1} << 63) + static_cast<uint64_t>(i);
    many.entries.push_back(one);
  }
  for (const size_t most : {700, 2'000, 1 << 20}) {
    std::vector<correction_entry> back;
    const auto bodies = revisions_bodies(many, most);
    CHECK((bodies.size() == 1) == (most > 10'000));
    for (const auto& body : bodies) {
      CHECK(body.size() <= most);
      for (auto& one : read_revisions_body(std::as_bytes(std::span(body)), true).entries)
        back.push_back(std::move(one));
      CHECK(parse_notification(std::as_bytes(std::span(body)), "keyframe.revise").many.has_value());
    }
    auto expected = many.entries;
    std::stable_partition(expected.begin(), expected.end(), [](const correction_entry& one) { return one.group.empty(); });
    REQUIRE(back.size() == expected.size());
    for (size_t i = 0; i < back.size(); ++i) {
      CHECK(back[i].id == expected[i].id);
      CHECK(back[i].group == expected[i].group);
      CHECK(back[i].to == expected[i].to);
      CHECK(back[i].number == expected[i].number);
    }
  }
  CHECK(revisions_bodies({}, 1'000).empty());
}

TEST_CASE("garbage never does more than be refused") {
  uint64_t state = 1;
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    bytes junk = round % 2 == 0 ? json::to_msgpack(whole()) : bytes(static_cast<size_t>(round % 97), 0);
    for (size_t i = 0; i < junk.size(); ++i) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      if (round % 2 == 1 || state >> 60 == 0)
        junk[i] = static_cast<uint8_t>(state >> 33);
    }
    try {
      parse(junk);
    } catch (const bad_input&) {
      ++refused;
    }
  }
  CHECK(refused >= 10'000); // all of the random half
}

TEST_CASE("a key that is no text is refused, and a text that is no UTF-8") {
  CHECK_THAT(why_bad(bytes{0x81, 0x01, 0x02}), Catch::Contains("byte: 0x01"));
  CHECK_THAT(why_bad(bytes{0x81, 0xa1, 0xff, 0x02}), Catch::Contains("a key is not valid UTF-8"));
  CHECK_THAT(why_bad(with("shm_key", "\xff")), Catch::Contains("shm_key is not valid UTF-8"));
  CHECK_THAT(why_bad(with("shm_key", json::binary({1}))), Catch::Contains("shm_key is binary, must be a text"));
  CHECK_THAT(why_bad(with("shm_key", json::binary({1}, 5))), Catch::Contains("shm_key is an extension, must be a text"));
}

TEST_CASE("MessagePack of every kind is what it was written from") {
  for (const json& value :
       {json(nullptr), json(true), json(3), json(-3), json(1.5), json(std::numeric_limits<uint64_t>::max()),
        json(std::numeric_limits<int64_t>::min()), json("text"), json(std::string(70'000, 'x')),
        json::array({1, json::array({2, 3}), json::object({{"a", 1}, {"b", json::array()}})}), json::object(), json::array(),
        json::binary({1, 2}), json::binary({1, 2, 3, 4}, 9), json(std::vector<int>(70'000, 7))}) {
    auto b = json::to_msgpack(value);
    CHECK(read_msgpack(std::as_bytes(std::span(b))) == value);
  }
  // A producer may write any integer as a signed one.
  auto signed_five = bytes{0xd3, 0, 0, 0, 0, 0, 0, 0, 5};
  CHECK(read_msgpack(std::as_bytes(std::span(signed_five))).is_number_unsigned());
}
