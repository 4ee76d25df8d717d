#include "net/commands/repetition_sink.hpp"

#include "gpu/offline_map.hpp"

#include <catch2/catch.hpp>

using namespace tessera;

namespace {

keyframe frame_of(const std::string& id, float depth_m, uint8_t red = 90) {
  auto body = std::make_shared<owned_keyframe_body>();
  for (int i = 0; i < 400; ++i) {
    body->point_data.insert(body->point_data.end(), {0.02f * float(i % 20), 0.02f * float(i / 20), depth_m});
    body->colour_data.insert(body->colour_data.end(), {red, 90, 90});
  }
  keyframe frame;
  frame.id.value = id;
  frame.body = std::move(body);
  return frame;
}

} // namespace

TEST_CASE("An id that comes again is a repetition or a conflict, as its content says") {
  const auto threads = GENERATE(1u, 3u);
  mapping m;
  m.voxel_m = 0.05f;
  m.truncation_m = 0.15f;
  offline_options options;
  options.threads = threads;
  options.keep_rays = true;
  offline_map map(m, {make_cpu_fields(m, {.threads = threads})}, std::move(options));
  repetition_sink sink(map);
  CHECK(sink.summary().empty());
  const auto offer = [&](keyframe frame) {
    verdict answer;
    sink.offer(std::move(frame), [&](const verdict& v) { answer = v; });
    map.finish();
    return answer;
  };
  CHECK(offer(frame_of("1", 1)).what == outcome::accepted);
  CHECK(offer(frame_of("1", 1)).what == outcome::duplicate);
  const auto points = offer(frame_of("1", 1.5f));
  CHECK(points.what == outcome::conflict);
  CHECK(points.reason == "keyframe_id 1 came before, with other points; the first one stays");
  CHECK(offer(frame_of("1", 1, 91)).what == outcome::conflict);
  auto other_session = frame_of("1", 1.5f);
  other_session.id.session = "b";
  CHECK(offer(other_session).what == outcome::accepted);
  auto moved = frame_of("1", 1);
  moved.world_from_camera.m[3] = 0.25f;
  CHECK_THAT(offer(moved).reason, Catch::Contains("another pose"));
  // Under the pose that it has by now it is itself again.
  sink.revise({"1", ""}, moved.world_from_camera, [](const verdict& v) { CHECK(v.what == outcome::accepted); });
  CHECK(offer(moved).what == outcome::duplicate);
  CHECK(sink.repetitions() == 2);
  CHECK(sink.conflicts() == 3);
  CHECK(sink.summary()
        == "2 keyframes came again with the same content, and count once; 3 keyframes had the id of an earlier one with other "
           "content, and were left out");
  // Taken out, its id is free.
  sink.retract({"1", ""}, [](const verdict& v) { CHECK(v.what == outcome::accepted); });
  CHECK(offer(frame_of("1", 1.5f)).what == outcome::accepted);
}
