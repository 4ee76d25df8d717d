#include "net/commands/progress.hpp"

#include <catch2/catch.hpp>

#include <sstream>

using namespace tessera;

namespace {

/// Answers what it is told.
class answering_sink final : public keyframe_sink {
public:
  verdict answer;
  void offer(map_input, completion done) override { done(answer); }
  void set_aside(const std::string&, const std::string&, const std::string&) override {}
};

constexpr std::chrono::milliseconds always{0};
constexpr std::chrono::hours never{1};

std::string told(progress_style style, std::chrono::milliseconds interval, int keyframes, const verdict& answer = {}) {
  std::ostringstream out;
  answering_sink behind;
  behind.answer = answer;
  {
    progress_sink sink(behind, "hash", 3, style, out, interval);
    for (int i = 0; i < keyframes; ++i) {
      keyframe frame;
      frame.id.value = std::to_string(i);
      sink.offer(frame, [](const verdict&) {});
    }
    CHECK(sink.so_far() == std::to_string(keyframes) + " of 3 keyframes");
  }
  return out.str();
}

} // namespace

TEST_CASE("progress is told in lines where there is no terminal") {
  const auto text = told(progress_style::lines, always, 2);
  CHECK_THAT(text,
             Catch::Contains("tessera: hash: 1 of 3 keyframes, ") && Catch::Contains("/s, about ") && Catch::Contains(" left\n"));
  CHECK_THAT(text, Catch::Contains("tessera: hash: 2 of 3 keyframes, "));
  CHECK(text.find('\r') == std::string::npos);
  CHECK(told(progress_style::lines, never, 3).empty()); // it was over before there was anything to say
}

TEST_CASE("progress is one line on a terminal, and it ends") {
  const auto text = told(progress_style::rewritten, never, 3);
  CHECK(text.find("\r\033[Khash: 3 of 3 keyframes, ") == 0);
  CHECK(text.find('\n') == text.size() - 1);
}

TEST_CASE("who wants no progress still hears what was not taken") {
  CHECK(told(progress_style::none, always, 3).empty());
  const auto text = told(progress_style::none, always, 2, {outcome::refused, "pose is a reflection"});
  CHECK(text == "tessera: set aside: keyframe 0: pose is a reflection\ntessera: set aside: keyframe 1: pose is a reflection\n");
  CHECK(told(progress_style::none, always, 1, {outcome::not_now, "no room"}) == "tessera: not taken: keyframe 0: no room\n");
  const auto many = told(progress_style::none, always, 25, {outcome::refused, "bad"});
  CHECK_THAT(many, Catch::Contains("tessera: set aside or not taken: 5 more\n"));
}
