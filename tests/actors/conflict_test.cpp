// The same id again: a repetition counts once, other content is a conflict, and another session is another keyframe.

#include "actors/map/same_rays.hpp"
#include "toy_service.hpp"

#include <catch2/catch.hpp>

#include <algorithm>

using namespace tessera;
using namespace tessera::toy;

namespace {

struct asked_service {
  explicit asked_service(const std::function<void(service_config&)>& change = {}) {
    auto config = config_for(by);
    if (change)
      change(config);
    s = std::make_unique<stepped_service>(config, by);
  }
  verdict put(const keyframe& frame) {
    auto v = s->put(frame);
    s->run();
    return v->value();
  }
  verdict revise(const keyframe& frame, const pose& to) {
    auto v = s->put(revision{frame.id, to});
    s->run();
    return v->value();
  }
  [[nodiscard]] const telemetry& numbers() const { return *s->running.context.numbers; }
  std::shared_ptr<control> by = std::make_shared<control>();
  std::unique_ptr<stepped_service> s;
};

keyframe named(keyframe frame, const std::string& id, const std::string& session = {}) {
  frame.id = {id, session};
  return frame;
}

pose moved(pose at, float by) {
  at.m[7] += by;
  return at;
}

/// The same points as its camera saw them, seen from elsewhere.
keyframe moved_whole(const keyframe& frame, float by) {
  auto out = frame;
  auto body = std::make_shared<owned_keyframe_body>();
  const auto points = frame.body->points();
  for (size_t i = 0; i < points.size(); ++i)
    body->point_data.push_back(points[i] + (i % 3 == 1 ? by : 0.f));
  body->colour_data.resize(points.size());
  out.body = body;
  out.world_from_camera = moved(frame.world_from_camera, by);
  return out;
}

} // namespace

TEST_CASE("another keyframe under a live id is a conflict: told, counted, listed, and the map stays") {
  asked_service a;
  const auto frames = random_frames(30, 3);
  a.put(frames[0]);
  a.put(frames[1]);
  auto fewer = frames[0];
  auto body = std::make_shared<owned_keyframe_body>();
  body->point_data.assign(frames[0].body->points().begin(), frames[0].body->points().begin() + 30);
  body->colour_data.resize(30);
  fewer.body = body;
  auto turned = frames[0];
  turned.world_from_camera = moved(turned.world_from_camera, 1);
  const std::vector others{named(frames[2], "kf0"), fewer, turned, moved_whole(frames[0], 3)};
  for (const auto& other : others) {
    const auto v = a.put(other);
    CHECK(v.what == outcome::conflict);
    CHECK_THAT(v.reason, Catch::Contains("kf0") && Catch::Contains("another id or another session"));
    CHECK(a.numbers().set_aside.newest().front().reason == v.reason);
  }
  CHECK(a.numbers().conflicts == others.size());
  CHECK(a.numbers().set_aside.total() == others.size());
  CHECK(a.numbers().refused == 0);
  CHECK(a.put(frames[0]).what == outcome::duplicate);
  CHECK(a.s->status().field.hash == truth(small_map(), {frames[0], frames[1]}));
  // As the reason says: taken out first, the other one is welcome.
  a.s->put(retraction{frames[0].id});
  CHECK(a.put(others[0]).what == outcome::accepted);
  CHECK(a.s->status().field.hash == truth(small_map(), {frames[1], frames[2]}));
}

TEST_CASE("the same id in another session is another keyframe") {
  asked_service a;
  const auto frames = random_frames(31, 3);
  CHECK(a.put(named(frames[0], "0")).what == outcome::accepted);
  CHECK(a.put(named(frames[1], "0", "monday")).what == outcome::accepted);
  CHECK(a.put(named(frames[2], "0", "tuesday")).what == outcome::accepted);
  CHECK(a.put(named(frames[1], "0", "monday")).what == outcome::duplicate);
  const auto v = a.put(named(frames[2], "0", "monday"));
  CHECK(v.what == outcome::conflict);
  CHECK_THAT(v.reason, Catch::Contains("monday/0"));
  CHECK(a.s->status().field.hash == truth(small_map(), frames));
  a.s->put(retraction{keyframe_id{"0", "monday"}});
  a.s->run();
  CHECK(a.s->status().field.hash == truth(small_map(), {frames[0], frames[2]}));
}

TEST_CASE("what was moved meanwhile is still the same keyframe when it comes again as it came") {
  const bool successor = GENERATE(false, true);
  asked_service a;
  const auto frames = random_frames(32, 2);
  a.put(frames[0]);
  a.put(frames[1]);
  REQUIRE(a.revise(frames[0], moved(frames[0].world_from_camera, 8)).what == outcome::accepted);
  if (successor) {
    a.s->kill("partitioner");
    a.s->run();
  }
  const auto before = a.s->status();
  CHECK(a.put(frames[0]).what == outcome::duplicate);
  CHECK(a.put(moved_whole(frames[0], 8)).what == outcome::duplicate); // as the revision says
  CHECK(a.put(moved_whole(frames[0], 9)).what == outcome::conflict);
  CHECK(a.put(named(frames[1], "kf0")).what == outcome::conflict);
  CHECK(a.s->status().field.hash == before.field.hash);
}

TEST_CASE("rays that come in another order are the same rays") {
  asked_service a;
  a.by->shuffles = true; // as several devices would
  const auto frames = random_frames(33, 2);
  CHECK(a.put(frames[0]).what == outcome::accepted);
  CHECK(a.put(frames[0]).what == outcome::duplicate);
  CHECK(a.put(named(frames[1], "kf0")).what == outcome::conflict);
  const std::vector<ray> one{{1, 2, 3, 0, 0, 0, 1}, {1, 2, 3, 0, 0, 0, 1}, {4, 5, 6, 0, 0, 0, 1}};
  const std::vector<ray> other{{4, 5, 6, 0, 0, 0, 1}, {1, 2, 3, 0, 0, 0, 1}, {4, 5, 6, 0, 0, 0, 1}};
  CHECK_FALSE(same_rays(one, other)); // as often, too
  CHECK(same_rays({}, {}));
}

TEST_CASE("a repetition without a usable point, or torn, is neither a repetition nor a conflict") {
  asked_service a;
  const auto frames = random_frames(34, 1);
  a.put(frames[0]);
  auto nothing = frames[0];
  auto body = std::make_shared<owned_keyframe_body>();
  body->point_data = {1e7f, 0, 0};
  body->colour_data.resize(3);
  nothing.body = body;
  CHECK(a.put(nothing).what == outcome::refused);
  CHECK(a.numbers().conflicts == 0);
  CHECK(a.s->status().field.hash == truth(small_map(), frames));
}
