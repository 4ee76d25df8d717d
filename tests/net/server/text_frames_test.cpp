#include "net/server/talk_allowance.hpp"
#include "net/server/text_frames.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <random>

using namespace tessera;
using nlohmann::json;

namespace {

talk_error error_of(const std::string& text) {
  auto said = parse_talk(text);
  REQUIRE(std::holds_alternative<talk_error>(said));
  return std::get<talk_error>(said);
}

} // namespace

TEST_CASE("A viewer's words are understood") {
  auto s = std::get<subscribe>(parse_talk(
    R"({"type":"subscribe","epoch":"e1","have":[[-1,2,3,"18446744073709551615"],[0,0,-2147483648,"7"]],"max_bits_per_s":1000000,"extra":{}})"));
  CHECK(s.epoch == "e1");
  CHECK(s.max_bits_per_s == 1000000);
  CHECK(s.have == std::vector<held_patch>{{{-1, 2, 3}, UINT64_MAX}, {{0, 0, INT32_MIN}, 7}});
  auto least = std::get<subscribe>(parse_talk(R"({"type":"subscribe"})"));
  CHECK(least.epoch.empty());
  CHECK(least.have.empty());
  CHECK(least.max_bits_per_s == 0);
  auto v = std::get<view>(parse_talk(R"({"type":"view","position":[1,2.5,-3e2],"direction":[0,0,1]})"));
  CHECK(v.position == std::array{1.f, 2.5f, -300.f});
  CHECK(v.direction == std::array{0.f, 0.f, 1.f});
  auto a = std::get<ack>(parse_talk(R"({"type":"ack","patches":[[1,2,3,"4"]]})"));
  CHECK(a.patches == std::vector<held_patch>{{{1, 2, 3}, 4}});
}

TEST_CASE("What a viewer has lost is understood") {
  const auto said = std::get<lost>(parse_talk(R"({"type":"lost","regions":[[1,-2,3],[-2147483648,0,2147483647]]})"));
  CHECK(said.regions == std::vector<region_key>{{1, -2, 3}, {INT32_MIN, 0, INT32_MAX}});
}

TEST_CASE("What is wrong is named: the field, the value, what was expected") {
  auto [text, wanted, reference] = GENERATE(table<std::string, std::string, std::string>({
    {"", "not JSON", ""},
    {"{", "not JSON", ""},
    {"[]", "expected an object", ""},
    {"17", "expected an object", ""},
    {"{}", "type is missing", ""},
    {R"({"type":7})", "type is 7", ""},
    {R"({"type":"shout"})", "type is \"shout\"", "shout"},
    {R"({"type":"view","position":[0,0,0]})", "direction is missing", "view"},
    {R"({"type":"view","position":[0,0],"direction":[0,0,1]})", "position is [0,0]", "view"},
    {R"({"type":"view","position":[0,0,1e30],"direction":[0,0,1]})", "position is", "view"},
    {R"({"type":"view","position":[0,0,1e300],"direction":[0,0,1]})", "position is", "view"},
    {R"({"type":"view","position":[0,0,"x"],"direction":[0,0,1]})", "position is", "view"},
    {R"({"type":"ack"})", "patches is missing", "ack"},
    {R"({"type":"ack","patches":{}})", "patches is {}", "ack"},
    {R"({"type":"ack","patches":[[1,2,3]]})", "patches[0] is [1,2,3]", "ack"},
    {R"({"type":"ack","patches":[[1,2,3,"-4"]]})", "patches[0].version is \"-4\"", "ack"},
    {R"({"type":"ack","patches":[[1,2,3,"18446744073709551616"]]})", "version", "ack"},
    {R"({"type":"ack","patches":[[1,2,2147483648,"4"]]})", "2147483648", "ack"},
    {R"({"type":"ack","patches":[[1,2,-2147483649,"4"]]})", "-2147483649", "ack"},
    {R"({"type":"ack","patches":[[1,2.5,3,"4"]]})", "2.5", "ack"},
    {R"({"type":"lost"})", "regions is missing", "lost"},
    {R"({"type":"lost","regions":{}})", "regions is {}", "lost"},
    {R"({"type":"lost","regions":[[1,2]]})", "regions[0] is [1,2]", "lost"},
    {R"({"type":"lost","regions":[[1,2,3],[1,2,3000000000]]})", "regions[1] is 3000000000", "lost"},
    {R"({"type":"subscribe","epoch":4})", "epoch is 4", "subscribe"},
    {R"({"type":"subscribe","max_bits_per_s":-4})", "max_bits_per_s is -4", "subscribe"},
    {R"({"type":"subscribe","max_bits_per_s":1e30})", "max_bits_per_s is", "subscribe"},
  }));
  INFO(text);
  auto error = error_of(text);
  CHECK_THAT(error.message, Catch::Contains(wanted));
  CHECK(error.reference == reference);
  CHECK_FALSE(error.too_large);
  CHECK(json::parse(write_error(error))["message"] == error.message);
}

TEST_CASE("Depth, size and length have bounds") {
  CHECK_THAT(error_of(std::string(500'000, '[')).message, Catch::Contains("deeper than 4"));
  CHECK_THAT(error_of(R"({"type":"ack","patches":[[[[1]]]]})").message, Catch::Contains("deeper"));
  CHECK(error_of(std::string(max_talk_bytes + 1, ' ')).too_large);
  auto list_of = [](size_t n) {
    std::string text = R"({"type":"subscribe","have":[)";
    for (size_t i = 0; i < n; ++i)
      text += i == 0 ? "[0,0,0,\"1\"]" : ",[0,0,0,\"1\"]";
    return text + "]}";
  };
  const auto most = (max_talk_bytes - list_of(0).size() + 1) / 12; // entries, with their commas
  CHECK(std::get<subscribe>(parse_talk(list_of(most))).have.size() == most);
  CHECK(error_of(list_of(most + 1)).too_large); // bytes are all that is counted
  CHECK(error_of(R"({"type":")" + std::string(100'000, 'x') + R"("})").message.size() < 200);
}

TEST_CASE("Brackets in strings are no depth") {
  CHECK(std::get<subscribe>(parse_talk(R"({"type":"subscribe","epoch":"[[[[[[[[\"[[[["})")).epoch == "[[[[[[[[\"[[[[");
}

TEST_CASE("No garbage throws") {
  std::mt19937 random{7};
  const std::string seed
    = R"({"type":"subscribe","epoch":"e1","have":[[-1,2,3,"18446744073709551615"]],"max_bits_per_s":1000000})";
  for (int i = 0; i < 20'000; ++i) {
    auto text = seed;
    for (int k = 0; k < 3; ++k)
      text[random() % text.size()] = static_cast<char>(random());
    if (i % 3 == 0)
      text.resize(random() % text.size());
    auto said = parse_talk(text);
    if (auto* error = std::get_if<talk_error>(&said))
      REQUIRE(json::accept(write_error(*error))); // whatever was in it
  }
}

TEST_CASE("What viewers are told has the protocol's fields") {
  map_settings map;
  map.voxel_m = 0.02f;
  auto hello = json::parse(write_hello(stream_protocol::v1, "e\"1", map, 0.02f / 32));
  CHECK(hello["type"] == "hello");
  CHECK(hello["protocol"] == "tessera.v1");
  CHECK(json::parse(write_hello(stream_protocol::v2, "e", map, 0.02f / 32))["protocol"] == "tessera.v2");
  CHECK(hello["epoch"] == "e\"1");
  CHECK(hello["voxel_m"] == 0.02);
  CHECK(hello["quantum_m"].get<double>() == static_cast<double>(0.02f / 32));
  CHECK(hello["region_voxels"] == 64);
  CHECK(hello["max_text_bytes"] == max_talk_bytes);
  camera c{{"k\xff"}, UINT64_MAX, {}, false}, gone{{"old"}, 0, {}, true};
  c.world_from_camera.m[3] = 0.1f;
  auto cameras = json::parse(write_cameras({c, gone}));
  CHECK(cameras["cameras"][0]["timestamp_ns"] == "18446744073709551615");
  CHECK(cameras["cameras"][0]["pose"].size() == 16);
  CHECK(cameras["cameras"][0]["pose"][3] == 0.1);
  CHECK(cameras["cameras"][1] == json{{"id", "old"}, {"gone", true}});
  session_stats s;
  s.keyframes = 3;
  s.time_ns = UINT64_MAX;
  auto stats = json::parse(write_stats(s));
  CHECK(stats["keyframes"] == 3);
  CHECK(stats["time_ns"] == "18446744073709551615");
  CHECK_FALSE(stats.contains("shortage"));
  s.shortage = "the map is full";
  CHECK(json::parse(write_stats(s))["shortage"] == "the map is full");
  for (const char* field : {"keyframes_per_s", "regions", "triangles", "viewers", "pending", "set_aside"})
    CHECK(stats.contains(field));
}

TEST_CASE("a viewer is heard so often a second, and as often again as it was sent patches") {
  using namespace std::chrono_literals;
  const auto start = talk_allowance::clock::time_point{} + 100s;
  talk_allowance idle;
  for (int i = 1; i < talk_allowance::frames_per_s; ++i)
    CHECK(idle.hear(start + std::chrono::milliseconds(i), 100) == 0s);
  CHECK(idle.hear(start + 400ms, 100) == 601ms); // the second began with the first frame
  CHECK(idle.hear(start + 1002ms, 100) == 0s);
  // One that acknowledges a thousand patches in a second is never made to wait.
  talk_allowance busy;
  for (int i = 0; i < 1000; ++i) {
    busy.sent_patch();
    CHECK(busy.hear(start + std::chrono::microseconds(900 * i), 100) == 0s);
  }
  // Long frames count as several.
  talk_allowance wordy;
  for (int i = 0; i < 3; ++i)
    CHECK(wordy.hear(start, max_talk_bytes) == 0s);
  CHECK(wordy.hear(start, max_talk_bytes) == 1s);
}
