// What the supervisor decides by: plain classes, without an actor system.

#include "actors/base/instrumented.hpp"
#include "actors/supervision/core_actors.hpp"
#include "actors/supervision/device_roster.hpp"
#include "actors/supervision/region_meshers.hpp"
#include "messages/roles.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace tessera;
using namespace std::chrono_literals;

namespace {

const life::time_point begin{};
const caf::error killed = caf::exit_reason::kill;
const caf::error failed = caf::make_error(ec::internal);

} // namespace

TEST_CASE("an actor that ends by itself within a second of its start has failed, and five times in a row are hopeless") {
  life fared{begin};
  auto now = begin;
  for (int i = 0; i < 4; ++i) {
    fared.end(now += 999ms, false);
    fared.restart(now);
  }
  CHECK(fared.failures() == 4);
  CHECK(fared.restarts() == 4);
  CHECK_FALSE(fared.hopeless());
  SECTION("the fifth time") {
    fared.end(now, false);
    CHECK(fared.hopeless());
  }
  SECTION("one that worked a while begins anew") {
    fared.end(now + 1s, false);
    CHECK(fared.failures() == 0);
  }
  SECTION("so does one that was killed") {
    fared.end(now, true);
    CHECK(fared.failures() == 0);
  }
}

TEST_CASE("what keeps failing is started again after a pause that doubles up to a bound") {
  life fared{begin};
  std::vector<std::chrono::milliseconds> pauses;
  for (int i = 0; i < 8; ++i) {
    fared.end(begin, false);
    pauses.push_back(fared.pause());
  }
  CHECK(pauses == std::vector<std::chrono::milliseconds>{0ms, 0ms, 400ms, 800ms, 1600ms, 3200ms, 3200ms, 3200ms});
}

TEST_CASE("a region has its mesher placed once, however many wait for it") {
  region_meshers meshers;
  const region_key region{1, 2, 3};
  CHECK(meshers.find(region) == nullptr);
  CHECK(meshers.wait(region, {}));
  CHECK_FALSE(meshers.wait(region, {}));
  CHECK(meshers.is_needed(region));
  CHECK(meshers.needed() == std::vector{region});
  meshers.put(region, meshers.next(region, {2}, begin));
  CHECK(meshers.take(region).size() == 2);
  CHECK_FALSE(meshers.is_needed(region));
  CHECK(meshers.find(region)->device == device_id{2});
  CHECK(meshers.find(region)->fared.restarts() == 0);
}

TEST_CASE("a mesher that died has a successor of larger versions, one that was told to end has none") {
  region_meshers meshers;
  const region_key region{};
  meshers.put(region, meshers.next(region, {}, begin));
  const auto first = *meshers.find(region);
  CHECK(meshers.lost(region, killed, begin) == 0ms);
  meshers.put(region, meshers.next(region, {1}, begin));
  CHECK(meshers.find(region)->first_version() > first.first_version());
  CHECK(meshers.find(region)->fared.restarts() == 1);

  meshers.let_end(region);
  SECTION("it ends, and whoever asks meanwhile gets another") {
    CHECK_FALSE(meshers.wait(region, {}));
    CHECK_FALSE(meshers.is_needed(region));
    CHECK(meshers.lost(region, caf::exit_reason::user_shutdown, begin) == std::nullopt);
    CHECK(meshers.find(region) == nullptr);
    CHECK(meshers.is_needed(region));
    CHECK(meshers.next(region, {}, begin).fared.restarts() == 0);
  }
  SECTION("it dies before it could") {
    CHECK(meshers.lost(region, killed, begin) == 0ms);
    CHECK_FALSE(meshers.find(region)->ending);
  }
}

TEST_CASE("what a dead partitioner asked for is forgotten, what is needed all the same is not") {
  region_meshers meshers;
  const region_key asked{1, 0, 0}, needed{2, 0, 0};
  meshers.wait(asked, {});
  meshers.need(needed);
  meshers.forget_waiting();
  CHECK(meshers.needed() == std::vector{needed});
}

TEST_CASE("a device that failed is not used any more, and the spare one takes over from the last") {
  const device_id spare{2};
  device_roster devices{{{{{0}, {}, 0}, {{1}, {}, 1}}, 2, 0}, spare, begin};
  using enum device_roster::remedy;
  CHECK(devices.lost({0}, killed, begin) == restart);
  devices.replace({0}, {}, begin);
  CHECK(devices.fared({0}).restarts() == 1);
  CHECK(devices.lost({0}, caf::make_error(ec::device_failed), begin) == retire);
  CHECK(devices.retire({0}));
  CHECK(devices.find({0}) == nullptr);
  CHECK(devices.table().lost == 1);
  CHECK(devices.table().count == 2);
  CHECK(devices.table().owner({5, 5, 5})->id == device_id{1});
  for (int i = 0; i < 4; ++i)
    CHECK(devices.lost({1}, failed, begin) == restart);
  CHECK(devices.lost({1}, failed, begin) == retire);
  CHECK_FALSE(devices.retire({1}));
  devices.take_over({}, begin);
  CHECK(devices.table().owner({5, 5, 5})->id == spare);
  CHECK(devices.table().lost == 0);
  CHECK(devices.lost(spare, caf::make_error(ec::device_failed), begin) == restart);
  for (int i = 0; i < 18; ++i)
    CHECK(devices.lost(spare, failed, begin) == restart);
  CHECK(devices.lost(spare, failed, begin) == give_up);
}

TEST_CASE("a drill can kill each actor of which there is one") {
  for (const auto& actor : core_actors()) {
    INFO(actor.role);
    CHECK(std::count(role::killable.begin(), role::killable.end(), std::string{actor.role}) == 1);
    CHECK(find_core_actor(actor.role) != nullptr);
  }
  CHECK(find_core_actor("sink relay") == nullptr);
  size_t seats = 0; // each with an actor that is started for it
  core_seats{}.for_each([&](const auto&) { ++seats; });
  CHECK(seats == core_actors().size());
}
