// What can be told of a keyframe before it is in the map.

#include "actors/intake/keyframe_check.hpp"
#include "actors/intake/no_points.hpp"
#include "actors/intake/voxel_size.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <limits>

using namespace tessera;

namespace {

keyframe good_frame() {
  auto body = std::make_shared<owned_keyframe_body>();
  body->point_data = {0, 0, 1, 1, 0, 2};
  body->colour_data = {1, 2, 3, 4, 5, 6};
  keyframe out;
  out.id.value = "kf";
  out.world_from_camera.m[3] = 5;
  out.body = body;
  return out;
}

std::shared_ptr<owned_keyframe_body> body_of(const keyframe& frame) {
  return std::make_shared<owned_keyframe_body>(dynamic_cast<const owned_keyframe_body&>(*frame.body));
}

} // namespace

TEST_CASE("a good keyframe has no fault; points that are not finite are none") {
  auto frame = good_frame();
  CHECK_FALSE(check_keyframe(frame, {}));
  auto body = body_of(frame);
  body->point_data[0] = std::numeric_limits<float>::quiet_NaN();
  frame.body = body;
  CHECK_FALSE(check_keyframe(frame, {}));
}

TEST_CASE("each bad keyframe is refused with the field, the value and the bound") {
  auto fault = [](auto change) {
    auto frame = good_frame();
    change(frame);
    auto f = check_keyframe(frame, {});
    REQUIRE(f);
    return *f;
  };
  auto is = [](const keyframe_fault& f, refusal why, const std::string& part) {
    CHECK(f.why == why);
    CHECK_THAT(f.text, Catch::Contains(part));
  };
  is(fault([](keyframe& f) { f.id.value.clear(); }), refusal::id, "0 bytes, not 1 to 256");
  is(fault([](keyframe& f) { f.id.value.assign(257, 'x'); }), refusal::id, "257 bytes");
  is(fault([](keyframe& f) { f.id.value = "a\nb"; }), refusal::id, "control character 10");
  is(fault([](keyframe& f) { f.world_from_camera.m[5] = NAN; }), refusal::pose, "pose[1][1] is nan");
  is(fault([](keyframe& f) { f.world_from_camera.m[3] = INFINITY; }), refusal::pose, "pose[0][3] is inf");
  is(fault([](keyframe& f) { f.world_from_camera.m.fill(0); }), refusal::pose, "all zeros");
  is(
    fault([](keyframe& f) { f.world_from_camera.m[0] = 1.01f; }), refusal::pose,
    "pose is not a rotation times a scale: columns 0 and 0 have the product 1.01331, divided by the square of the scale 1.00334, "
    "not 1 within 0.001");
  is(fault([](keyframe& f) { f.world_from_camera.m[0] = -1; }), refusal::pose, "reflection");
  is(fault([](keyframe& f) { f.world_from_camera.m[12] = 2; }), refusal::pose, "pose[3][0] is 2, not 0");
  is(fault([](keyframe& f) { f.body = nullptr; }), refusal::points, "no points");
  is(fault([](keyframe& f) { f.body = std::make_shared<owned_keyframe_body>(); }), refusal::points,
     "point_count is 0, not 1 to 4194304");
  is(fault([](keyframe& f) {
       auto b = body_of(f);
       b->point_data.push_back(1);
       f.body = b;
     }),
     refusal::points, "7 numbers");
  is(fault([](keyframe& f) {
       auto b = body_of(f);
       b->channel_count = 2;
       f.body = b;
     }),
     refusal::colours, "channels is 2, not 3 or 4");
  is(fault([](keyframe& f) {
       auto b = body_of(f);
       b->colour_data.pop_back();
       f.body = b;
     }),
     refusal::colours, "5 bytes, not 6");
  is(fault([](keyframe& f) {
       auto b = body_of(f);
       b->confidence_data = {1};
       f.body = b;
     }),
     refusal::confidence, "1 values, not 0 or 2");
  keyframe_limits few;
  few.max_points = 1;
  CHECK(check_keyframe(good_frame(), few)->why == refusal::points);
}

TEST_CASE("a rotation with the rounding of a 32-bit producer is rigid") {
  pose p;
  const auto c = std::cos(0.3f), s = std::sin(0.3f);
  p.m = {c, -s, 0, 1, s, c, 0, 2, 0, 0, 1, 3, 0, 0, 0, 1};
  CHECK_FALSE(check_pose(p));
  for (auto& x : p.m)
    x *= 1.0001f;
  p.m[15] = 1;
  CHECK_FALSE(check_pose(p));
  for (size_t i = 12; i < 16; ++i) {
    auto q = p;
    q.m[i] += 0.9f * pose_tolerance;
    CHECK_FALSE(check_pose(q));
    q.m[i] += 0.2f * pose_tolerance;
    CHECK(check_pose(q)->why == refusal::pose);
  }
}

TEST_CASE("a pose may have one scale of 0.01 to 100") {
  const auto with = [](float x, float y, float z, float shear = 0) {
    const auto c = std::cos(0.3f), s = std::sin(0.3f);
    return pose{{c * x, -s * y, shear, 1, s * x, c * y, 0, 2, 0, 0, z, 3, 0, 0, 0, 1}};
  };
  const auto fault = [](const pose& of) {
    const auto found = check_pose(of);
    return found ? found->text : std::string();
  };
  for (const float scale : {0.0123f, 0.5f, 0.9995f, 1.0004f, 1.0006f, 1.4f, 90.f}) {
    INFO("scale " << scale);
    CHECK(fault(with(scale, scale, scale)).empty());
    CHECK(fault(with(scale, scale * 1.0003f, scale)).empty());
    CHECK_THAT(fault(with(scale, scale * 1.01f, scale)), Catch::StartsWith("pose is not a rotation times a scale"));
    CHECK_THAT(fault(with(scale, scale, scale, 0.01f * scale)), Catch::Contains("not 0 within 0.001"));
    CHECK_THAT(fault(with(scale, scale, -scale)), Catch::StartsWith("pose is a reflection: its determinant is -"));
  }
  for (const float scale : {0.01f, 100.f})
    CHECK(fault(with(scale, scale, scale)).empty());
  for (const auto& [scale, text] : {std::pair{0.005f, "0.005"}, std::pair{0.00999f, "0.00999"}, std::pair{100.1f, "100.1"}}) {
    const auto found = check_pose(with(scale, scale, scale));
    REQUIRE(found);
    CHECK(found->why == refusal::pose);
    CHECK(found->text
          == "pose's scale is " + std::string(text) + ", not 0.01 to 100 (it is the length of the first three columns)");
  }
}

TEST_CASE("ranges count in the keyframe's own scale when a voxel is chosen") {
  auto frame = good_frame();
  auto body = body_of(frame);
  body->point_data = {9, 0, 0, 7, 0, 0}; // 4 and 2 m from the camera
  frame.body = body;
  CHECK(auto_voxel_m(frame, {.max_range_m = 2.5f}) == Approx(0.02));
  for (auto i : {0, 5, 10})
    frame.world_from_camera.m[static_cast<size_t>(i)] = 0.5f;
  CHECK(auto_voxel_m(frame, {.max_range_m = 2.5f}) == 0);
  CHECK(auto_voxel_m(frame, {.min_range_m = 7, .max_range_m = 10}) == Approx(0.05));
}

TEST_CASE("an automatic voxel is a hundredth of the median distance, as 1, 2 or 5") {
  auto at = [](float distance) {
    auto frame = good_frame();
    auto body = body_of(frame);
    body->point_data.clear();
    for (int i = 0; i < 101; ++i)
      for (float v : {5 + distance * (0.5f + static_cast<float>(i) / 100), 0.f, 0.f})
        body->point_data.push_back(v);
    body->point_data[1] = std::numeric_limits<float>::quiet_NaN();
    frame.body = body;
    return auto_voxel_m(frame);
  };
  CHECK(at(2) == Approx(0.02));
  CHECK(at(5) == Approx(0.05));
  CHECK(at(0.9f) == Approx(0.01));
  CHECK(at(2000) == Approx(20));
  keyframe none;
  CHECK(auto_voxel_m(none) == 0);
}

TEST_CASE("why no point can be used is told with the bounds") {
  map_settings map;
  map.min_confidence = 0.5f;
  CHECK(no_points_text(map, {.out_of_range = 5000}, 0)
        == "no point can be used: 5000 out of range, which is 0.05 to 100 m from the camera (min-range, max-range)");
  CHECK(no_points_text(map, {.not_finite = 2, .low_confidence = 3, .beyond_map = 4}, 5)
        == "no point can be used: 2 not finite, 3 of a confidence below 0.5 (min-confidence), 9 beyond the map, which ends 2^19 "
           "voxels of 0.05 m from the origin");
}
