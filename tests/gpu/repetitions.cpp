// Keyframes whose id is live in an offline map: told apart as tests/actors/conflict_test.cpp says of a service.

#include "gpu/map/offline_map.hpp"
#include "tests/support/torn_body.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

using namespace tessera;

namespace {

map_settings plain_map_settings() {
  map_settings m;
  m.voxel_m = 0.05f;
  m.truncation_m = 0.15f;
  return m;
}

std::shared_ptr<owned_keyframe_body> wall(float depth_m, uint8_t red = 90) {
  auto body = std::make_shared<owned_keyframe_body>();
  for (int i = 0; i < 400; ++i) {
    body->point_data.insert(body->point_data.end(), {0.02f * float(i % 20), 0.02f * float(i / 20), depth_m});
    body->colour_data.insert(body->colour_data.end(), {red, 90, static_cast<uint8_t>(i % 200)});
  }
  return body;
}

keyframe named(const std::string& id, std::shared_ptr<const keyframe_body> body) {
  keyframe frame;
  frame.id.value = id;
  frame.body = std::move(body);
  return frame;
}

/// The same points, the last one first.
std::shared_ptr<owned_keyframe_body> turned_round(const owned_keyframe_body& from) {
  auto body = std::make_shared<owned_keyframe_body>(from);
  const auto turn = [](auto& values) {
    std::reverse(values.begin(), values.end());
    for (size_t i = 0; i < values.size(); i += 3)
      std::swap(values[i], values[i + 2]);
  };
  turn(body->point_data);
  turn(body->colour_data);
  return body;
}

struct room {
  uint32_t threads;
  offline_map map;

  explicit room(bool keep_rays = true, uint32_t use_threads = 1)
    : threads(use_threads),
      map(plain_map_settings(), {make_cpu_fields(plain_map_settings(), {.threads = threads == 1 ? 0 : threads})}, [&] {
        offline_options options;
        options.threads = threads;
        options.keep_rays = keep_rays;
        options.ids_repeat = true;
        options.why_empty = [](const ray_counts&, uint64_t) { return "it writes nothing"; };
        return options;
      }()) {}

  verdict offer(keyframe frame) {
    verdict answer;
    map.offer(std::move(frame), [&](const verdict& v) { answer = v; });
    map.finish();
    return answer;
  }
};

} // namespace

TEST_CASE("An id that comes again is a repetition or a conflict, as its rays and its pose say") {
  room r(true, GENERATE(1u, 3u));
  CHECK(r.offer(named("1", wall(1))).what == outcome::accepted);
  const auto before = r.map.stats().hash;
  CHECK(r.offer(named("1", wall(1))).what == outcome::duplicate);
  const auto points = r.offer(named("1", wall(1.5f)));
  CHECK(points.what == outcome::conflict);
  CHECK(points.reason == "keyframe_id 1 came before, with other points; the first one stays");
  CHECK(r.offer(named("1", wall(1, 91))).what == outcome::conflict);
  CHECK(r.map.stats().hash == before);
  auto other_session = named("1", wall(1.5f));
  other_session.id.session = "b";
  CHECK(r.offer(other_session).what == outcome::accepted);
  // Moved with all that it sees: the points are the world's.
  auto seen = wall(1);
  for (size_t i = 0; i < seen->point_data.size(); i += 3)
    seen->point_data[i] += 0.25f;
  auto moved = named("1", seen);
  moved.world_from_camera.m[3] = 0.25f;
  CHECK_THAT(r.offer(moved).reason, Catch::Contains("another pose"));
  // Under the pose that it has by now it is itself again, and so it is under the one that it came with.
  r.map.offer(revision{{"1", ""}, moved.world_from_camera}, [](const verdict& v) { CHECK(v.what == outcome::accepted); });
  CHECK(r.offer(moved).what == outcome::duplicate);
  CHECK(r.offer(named("1", wall(1))).what == outcome::duplicate);
  CHECK(r.map.counts().duplicates == 3);
  CHECK(r.map.counts().conflicts == 3);
  CHECK(r.map.counts().keyframes == 2);
  // Taken out, its id is free.
  r.map.offer(retraction{{"1", ""}}, [](const verdict& v) { CHECK(v.what == outcome::accepted); });
  CHECK(r.offer(named("1", wall(1.5f))).what == outcome::accepted);
}

TEST_CASE("The order of the points and what makes no ray are not compared") {
  room r(GENERATE(true, false));
  const auto body = wall(1);
  CHECK(r.offer(named("1", body)).what == outcome::accepted);
  CHECK(r.offer(named("1", turned_round(*body))).what == outcome::duplicate);
  auto more = turned_round(*body);
  more->point_data.insert(more->point_data.end(), 3, std::numeric_limits<float>::quiet_NaN());
  more->colour_data.insert(more->colour_data.end(), 3, 7);
  CHECK(r.offer(named("1", more)).what == outcome::duplicate);
  auto less = std::make_shared<owned_keyframe_body>(*body);
  less->point_data.resize(3 * 399);
  less->colour_data.resize(3 * 399);
  CHECK(r.offer(named("1", less)).what == outcome::conflict);
}

TEST_CASE("What writes nothing takes no id, and what is torn is no conflict") {
  room r;
  const auto nowhere = wall(std::nanf(""));
  CHECK(r.offer(named("1", nowhere)).reason == "it writes nothing");
  CHECK(r.map.counts().set_aside == 1);
  CHECK(r.map.counts().keyframes == 0);
  CHECK(r.offer(named("1", wall(1))).what == outcome::accepted);
  CHECK(r.offer(named("1", nowhere)).what == outcome::refused);
  CHECK(r.offer(named("1", std::make_shared<test::torn_body>(wall(2)))).what == outcome::not_now);
  CHECK(r.offer(named("1", wall(1))).what == outcome::duplicate);
}

TEST_CASE("Of many of one id that come at once, one stays and the others are told apart from it") {
  room r(false, 3);
  std::atomic<int> accepted = 0, duplicate = 0, conflict = 0;
  const auto count = [&](const verdict& v) {
    ++(v.what == outcome::accepted ? accepted : v.what == outcome::duplicate ? duplicate : conflict);
  };
  for (int i = 0; i < 40; ++i)
    r.map.offer(named("1", wall(i % 4 == 3 ? 2.f : 1.f)), count);
  r.map.finish();
  CHECK(accepted == 1);
  CHECK(duplicate == 29);
  CHECK(conflict == 10);
}

TEST_CASE("A keyframe that is retracted before it comes stays out, and one that was there may come again") {
  room r(true, GENERATE(1u, 3u));
  const auto retract = [&](const char* id) {
    outcome said{};
    r.map.offer(retraction{{id, ""}}, [&](const verdict& v) { said = v.what; });
    return said;
  };
  CHECK(retract("late") == outcome::unknown);
  CHECK(r.offer(named("late", wall(1))).what == outcome::retracted);
  CHECK(r.offer(named("late", wall(1))).what == outcome::retracted);
  auto other_session = named("late", wall(1));
  other_session.id.session = "b";
  CHECK(r.offer(other_session).what == outcome::accepted);
  CHECK(r.offer(named("1", wall(1))).what == outcome::accepted);
  CHECK(retract("1") == outcome::accepted);
  CHECK(retract("1") == outcome::unknown);
  CHECK(r.offer(named("1", wall(1))).what == outcome::accepted);
  CHECK(r.map.counts().kept_out == 2);
  CHECK(r.map.counts().keyframes == 2);
}
