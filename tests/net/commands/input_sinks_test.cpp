#include "net/commands/input_sinks.hpp"

#include <catch2/catch.hpp>

#include <string>
#include <vector>

using namespace tessera;

namespace {

/// Takes keyframes; of retractions it says what it is told to.
struct recording final : keyframe_sink {
  void offer(map_input what, completion done) override {
    if (const auto* gone = std::get_if<retraction>(&what)) {
      retracted.push_back(gone->id.value);
      return done({retractions, {}});
    }
    done({});
  }
  void set_aside(const std::string&, const std::string&, const std::string&) override {}
  outcome retractions = outcome::accepted;
  std::vector<std::string> retracted;
};

keyframe named(const std::string& id) {
  keyframe out;
  out.id.value = id;
  return out;
}

} // namespace

TEST_CASE("of a source without an end the newest keyframes stay, and what could not go goes later") {
  recording map;
  newest_sink newest{map, 2};
  int answered = 0;
  const auto offer = [&](const std::string& id) { newest.offer(named(id), [&](const verdict&) { ++answered; }); };
  offer("1"), offer("2");
  CHECK(map.retracted.empty());
  offer("3");
  CHECK(map.retracted == std::vector<std::string>{"1"});
  map.retractions = outcome::not_now;
  offer("4");
  CHECK(map.retracted == std::vector<std::string>{"1", "2"});
  map.retractions = outcome::accepted;
  offer("5");
  CHECK(map.retracted == std::vector<std::string>{"1", "2", "2", "3"});
  CHECK(answered == 5);
}
