#include "net/commands/auto_voxel.hpp"

#include "actors/store/spilling_store.hpp"
#include "net/commands/input_sinks.hpp"
#include "net/commands/offline.hpp"

#include <catch2/catch.hpp>

#include <atomic>
#include <future>
#include <limits>
#include <thread>

using namespace tessera;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

/// A camera at 1, 2, 3 and so many points around it, at these distances.
keyframe seen_at(const std::vector<float>& distances, const std::vector<float>& confidence = {}) {
  auto body = std::make_shared<owned_keyframe_body>();
  for (const float d : distances) {
    for (const float v : {1.f, 2.f, 3.f + d})
      body->point_data.push_back(v);
    for (const auto c : {uint8_t{10}, uint8_t{20}, uint8_t{30}})
      body->colour_data.push_back(c);
  }
  body->confidence_data = confidence;
  keyframe out;
  out.id.value = "k";
  out.world_from_camera.m = {1, 0, 0, 1, 0, 1, 0, 2, 0, 0, 1, 3, 0, 0, 0, 1};
  out.body = std::move(body);
  return out;
}

float voxel(const keyframe& frame, const map_settings& base = {}, const auto_voxel& how = {}) {
  const auto choice = choose_voxel(frame, base, how);
  if (choice.fault)
    FAIL(choice.fault->text);
  REQUIRE(choice.map);
  return choice.map->voxel_m;
}

std::string fault(const keyframe& frame, const map_settings& base = {}, const auto_voxel& how = {}) {
  const auto choice = choose_voxel(frame, base, how);
  CHECK_FALSE(choice.map);
  return choice.fault ? choice.fault->text : "there is no fault";
}

std::shared_ptr<keyframe_store> a_store() {
  return std::make_shared<spilling_store>(spilling_options{.cap_bytes = 1000, .folder = {}, .own_thread = false});
}

/// Answers what it is told.
class answering_sink final : public keyframe_sink {
public:
  std::atomic<int> offered = 0; // keyframes
  void offer(map_input what, completion done) override {
    offered += std::holds_alternative<keyframe>(what) ? 1 : 0;
    done({});
  }
  void set_aside(const std::string&, const std::string&, const std::string&) override {}
};

outcome offered_to(keyframe_sink& sink, keyframe frame) {
  std::promise<outcome> answer;
  sink.offer(std::move(frame), [&](const verdict& v) { answer.set_value(v.what); });
  return answer.get_future().get();
}

} // namespace

TEST_CASE("a voxel size is chosen from the points that a map would take") {
  CHECK(voxel(seen_at({2, 2, 2})) == Approx(0.02));
  CHECK(voxel(seen_at({not_a_number, not_a_number, 2})) == Approx(0.02));
  CHECK(voxel(seen_at({0, 0, 2})) == Approx(0.02));
  CHECK(voxel(seen_at({50, 50, 50, 2}, {0.1f, 0.1f, 0.1f, 0.9f}), {.min_confidence = 0.5f}) == Approx(0.02));

  map_settings ranged;
  ranged.max_range_m = 10;
  ranged.min_range_m = 1;
  auto_voxel kept;
  kept.keep_max_range = true;
  CHECK(voxel(seen_at({50, 50, 50, 2}), ranged, kept) == Approx(0.02));
  CHECK(voxel(seen_at({50, 50, 50, 2})) == Approx(0.5));
  kept.keep_min_range = true;
  CHECK(voxel(seen_at({0.1f, 0.1f, 0.1f, 2}), ranged, kept) == Approx(0.02));
}

TEST_CASE("what was set holds, and the rest follows the voxel size") {
  map_settings ranged;
  ranged.min_range_m = 0.3f;
  ranged.max_range_m = 7;
  ranged.region_voxels = 32;
  auto map = choose_voxel(seen_at({2}), ranged, {}).map;
  REQUIRE(map);
  CHECK(map->truncation_m == Approx(0.06));
  CHECK(map->min_range_m == Approx(0.02));
  CHECK(map->max_range_m == Approx(40));
  CHECK(map->region_voxels == 32);
  map = choose_voxel(seen_at({2}), ranged, {.keep_min_range = true, .keep_max_range = true}).map;
  REQUIRE(map);
  CHECK(map->min_range_m == 0.3f);
  CHECK(map->max_range_m == 7);
  CHECK_NOTHROW(map->validate());
  for (const float far : {1e-3f, 0.1f, 3.f, 1e5f}) {
    ranged.max_range_m = 2 * far;
    map = choose_voxel(seen_at({far}), ranged, {.keep_max_range = true}).map;
    REQUIRE(map);
    CHECK_NOTHROW(map->validate());
  }
}

TEST_CASE("a size stays within the bounds of its setting") {
  CHECK(voxel(seen_at({20'000})) == Approx(100));
  CHECK(voxel(seen_at({0.001f})) == Approx(0.0001));
  CHECK(voxel(seen_at({0.0011f, 0.0011f})) == Approx(0.0001));
}

TEST_CASE("a keyframe that a map would refuse chooses nothing") {
  CHECK_THAT(fault(seen_at({not_a_number, not_a_number})),
             Catch::Contains("none of its 2 points") && Catch::Contains("not finite"));
  CHECK_THAT(fault(seen_at({0, 0})), Catch::Contains("at the camera"));
  CHECK_THAT(fault(seen_at({})), Catch::Contains("point_count is 0"));
  CHECK_THAT(fault(seen_at({3e6f})), Catch::Contains("1 out of range, which is 100 to 200000 m"));
  auto mirrored = seen_at({20'000});
  mirrored.world_from_camera.m[0] = -1;
  CHECK_THAT(fault(mirrored), Catch::Contains("reflection"));
  auto nameless = seen_at({2});
  nameless.id.value = "";
  CHECK_THAT(fault(nameless), Catch::Contains("keyframe_id"));
  map_settings near;
  near.max_range_m = 1;
  CHECK_THAT(fault(seen_at({2}), near, {.keep_max_range = true}), Catch::Contains("farther than 1 m (max-range)"));
  CHECK_THAT(fault(seen_at({2}, {0.1f}), {.min_confidence = 0.5f}), Catch::Contains("confidence below 0.5 (min-confidence)"));
  auto far_away = seen_at({2});
  far_away.world_from_camera.m[3] = 1e9f;
  CHECK_THAT(fault(far_away), Catch::Contains("none of its") || Catch::Contains("out of range"));
}

TEST_CASE("a gate answers what cannot be used, and holds the first that can") {
  const auto numbers = std::make_shared<telemetry>();
  std::stop_source stop;
  gate_sink gate(stop.get_token(), numbers, a_store(), [](const keyframe& frame) -> std::optional<verdict> {
    if (frame.id.value.starts_with("bad"))
      return verdict{outcome::refused, "it is bad"};
    return std::nullopt;
  });
  auto named = [](const char* id) {
    auto frame = seen_at({2});
    frame.id.value = id;
    return frame;
  };
  CHECK(offered_to(gate, named("bad-1")) == outcome::refused);
  // Nothing is there to be taken out or moved: that is known without a wait.
  outcome said = outcome::accepted;
  gate.offer(retraction{{"x"}}, [&](const verdict& v) { said = v.what; });
  CHECK(said == outcome::unknown);
  gate.offer(revision{{"x"}, {}}, [&](const verdict& v) { said = v.what; });
  CHECK(said == outcome::unknown);
  gate.retract_all({}, [&](const verdict& v) { said = v.what; });
  CHECK(said == outcome::accepted);
  gate.set_aside("http", "y", "no header");
  CHECK(numbers->set_aside.newest().size() == 1);

  answering_sink behind;
  auto first = std::async(std::launch::async, [&] { return offered_to(gate, named("good")); });
  REQUIRE(gate.wait_for_one());
  auto second = std::async(std::launch::async, [&] { return offered_to(gate, named("bad-2")); }); // no more judged
  CHECK(behind.offered == 0);
  gate.open(behind);
  CHECK(first.get() == outcome::accepted);
  CHECK(second.get() == outcome::accepted);
  CHECK(behind.offered == 2);
  gate.offer(retraction{{"x"}}, [&](const verdict& v) { said = v.what; });
  CHECK(said == outcome::accepted);
}

TEST_CASE("what is retracted at a gate stays out, and chooses nothing, unless all is taken out meanwhile") {
  const auto numbers = std::make_shared<telemetry>();
  const auto store = a_store();
  std::stop_source stop;
  gate_sink gate(stop.get_token(), numbers, store, [](const keyframe&) { return verdict{outcome::refused, "it is bad"}; });
  const auto told = [&](const map_input& what) {
    outcome said{};
    gate.offer(what, [&](const verdict& v) { said = v.what; });
    return said;
  };
  const auto clear = [&](const keyframe_selection& which) {
    outcome said{};
    gate.retract_all(which, [&](const verdict& v) { said = v.what; });
    return said;
  };
  CHECK(told(retraction{{""}}) == outcome::refused);
  CHECK(told(retraction{{"k"}}) == outcome::unknown);
  CHECK(told(retraction{{"k", "monday"}}) == outcome::unknown);
  CHECK(told(seen_at({2})) == outcome::retracted);
  CHECK(numbers->kept_out == 1);
  CHECK(store->usage().retractions == 2);
  CHECK(clear({"monday", {}, {}}) == outcome::accepted);
  CHECK(store->usage().retractions == 1);
  CHECK(clear({}) == outcome::accepted);
  CHECK(store->usage().retractions == 0);
  CHECK(told(seen_at({2})) == outcome::refused);
}

TEST_CASE("a gate lets everybody go when the service ends") {
  std::stop_source stop;
  gate_sink gate(stop.get_token(), std::make_shared<telemetry>(), a_store(), [](const keyframe&) { return std::nullopt; });
  auto waits = std::async(std::launch::async, [&] { return offered_to(gate, seen_at({2})); });
  REQUIRE(gate.wait_for_one());
  stop.request_stop();
  CHECK(waits.get() == outcome::not_now);
  CHECK(offered_to(gate, seen_at({2})) == outcome::not_now);
  gate_sink other(stop.get_token(), std::make_shared<telemetry>(), a_store(), [](const keyframe&) { return std::nullopt; });
  CHECK_FALSE(other.wait_for_one());
}
