#include "allocation_watch.hpp"
#include "samples.hpp"

#include <catch2/catch.hpp>

#include <random>

using namespace tessera;

namespace {

/// More than any sample needs, less than a length that was believed would take.
constexpr size_t modest = 4u << 20;

} // namespace

TEST_CASE("every message comes back from a portable binary archive and from JSON as it was") {
  samples::for_each_message([](const auto& x) {
    using type = std::decay_t<decltype(x)>;
    INFO(message_fields<type>::name);
    CHECK(samples::same(from_binary<type>(to_binary(x)), x));
    CHECK(samples::same(from_json<type>(to_json(x)), x));
  });
}

TEST_CASE("a binary archive that ends early, or late, is an error") {
  samples::for_each_message([](const auto& x) {
    using type = std::decay_t<decltype(x)>;
    INFO(message_fields<type>::name);
    auto bytes = to_binary(x);
    for (size_t n = 0; n < bytes.size(); ++n)
      REQUIRE_THROWS_AS(from_binary<type>(std::span{bytes}.first(n)), archive_error);
    bytes.push_back(std::byte{0});
    CHECK_THROWS_AS(from_binary<type>(bytes), archive_error);
  });
}

TEST_CASE("a binary archive that was changed anywhere is loaded or refused, in little memory") {
  std::mt19937 random{5};
  samples::for_each_message([&random](const auto& x) {
    using type = std::decay_t<decltype(x)>;
    INFO(message_fields<type>::name);
    const auto good = to_binary(x);
    for (int round = 0; round < 300; ++round) {
      auto bytes = good;
      const auto changes = 1 + random() % 4;
      for (size_t i = 0; i < changes; ++i)
        bytes[random() % bytes.size()] = static_cast<std::byte>(random() % 3 == 0 ? 255 : random() % 256);
      allocation_watch watch;
      try {
        (void)from_binary<type>(bytes);
      } catch (const archive_error&) {
        // fine: an error and no crash
      }
      REQUIRE(watch.largest() < modest);
    }
  });
}

TEST_CASE("JSON that is cut off, changed or nested without end is loaded or refused") {
  std::mt19937 random{6};
  samples::for_each_message([&random](const auto& x) {
    using type = std::decay_t<decltype(x)>;
    INFO(message_fields<type>::name);
    const auto good = to_json(x);
    for (int round = 0; round < 100; ++round) {
      const auto n = random() % (good.size() - 1);
      REQUIRE_THROWS_AS(from_json<type>(std::string_view{good}.substr(0, n)), archive_error);
      auto text = good;
      text[random() % text.size()] = static_cast<char>(" \"{}[]:,0x-\0"[random() % 12]);
      allocation_watch watch;
      try {
        (void)from_json<type>(text);
      } catch (const archive_error&) {
        // fine
      }
      REQUIRE(watch.largest() < modest);
    }
  });
  CHECK_THROWS_AS(from_json<ack>(std::string(100'000, '[')), archive_error);
  CHECK_THROWS_AS(from_json<ack>(""), archive_error);
  CHECK_THROWS_AS(from_json<ack>("17"), archive_error);
  CHECK_THROWS_AS(from_json<ack>("{}"), archive_error);
}

TEST_CASE("values out of their range are refused") {
  auto bytes = to_binary(verdict{outcome::dropped, ""});
  bytes[1] = std::byte{8};
  CHECK_THROWS_WITH(from_binary<verdict>(bytes), Catch::Contains("out of its range: 8"));
  CHECK_THROWS_AS(from_json<verdict>(R"({"verdict": {"what": 8, "reason": "", "keyframes": 0}})"), archive_error);
  CHECK_THROWS_AS(
    from_json<camera>(
      R"({"camera": {"id": {"value": "", "session": ""}, "timestamp_ns": 1, "world_from_camera": {"m": [1, 2]}, "gone": false}})"),
    archive_error);
  auto batch = to_json(samples::a_batch());
  batch.replace(batch.find("base64\": \"") + 10, 4, "!!!!");
  CHECK_THROWS_WITH(from_json<ray_batch>(batch), Catch::Contains("base64"));
}

TEST_CASE("base64 is the usual one") {
  const std::pair<const char*, const char*> pairs[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [plain, coded] : pairs) {
    const std::string text{plain};
    const auto bytes = std::as_bytes(std::span{text});
    CHECK(detail::to_base64(bytes) == coded);
    CHECK(detail::from_base64(coded) == std::vector<std::byte>(bytes.begin(), bytes.end()));
  }
  for (const auto* bad : {"Z", "Zg=", "Zg=a", "====", "Zm9v!A=="})
    CHECK_THROWS_AS(detail::from_base64(bad), archive_error);
}

TEST_CASE("a map hash is written as 32 hex digits, hi first") {
  CHECK(to_hex({0x0123456789abcdefull, 0xfedcba9876543210ull}) == "0123456789abcdeffedcba9876543210");
  CHECK(to_hex({0, 1}) == "00000000000000000000000000000001");
}
