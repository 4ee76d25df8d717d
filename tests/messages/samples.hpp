#pragma once
// One filled value of every message, and a way to call something with each.

#include "messages/archive.hpp"

#include <cmath>
#include <limits>

namespace tessera::samples {

inline pose a_pose() {
  pose p;
  for (size_t i = 0; i < 16; ++i)
    p.m[i] = 0.1f * static_cast<float>(i) - 1.f / 3;
  return p;
}

inline ray_batch a_batch() {
  ray_batch out;
  std::vector<ray> rays;
  for (int32_t i = 0; i < 100; ++i)
    rays.push_back({i, -i * 1000, i << 20, static_cast<uint8_t>(i), 2, 3, 255});
  out.rays = std::make_shared<const std::vector<ray>>(std::move(rays));
  return out;
}

inline keyframe a_keyframe() {
  auto body = std::make_shared<owned_keyframe_body>();
  body->point_data = {1, 2, 3, -4.5f, std::numeric_limits<float>::infinity(), 1e-30f};
  body->colour_data = {1, 2, 3, 4, 255, 254, 253, 252};
  body->confidence_data = {0.5f, 1};
  body->channel_count = 4;
  return {{"kf \xc3\xa4 1", "a session"}, 123456789012345678u, 9, a_pose(), body, "shm", "a group", 1ull << 40};
}

inline region_mesh a_mesh() {
  mesh m;
  for (uint32_t i = 0; i < 30; ++i) {
    for (float f : {1.f, 2.f, 3.f}) {
      m.positions.push_back(f * static_cast<float>(i));
      m.normals.push_back(-f);
      m.colours.push_back(static_cast<uint8_t>(i));
    }
    m.keys.push_back(uint64_t{i} << 50);
    m.indices.push_back(i);
  }
  return {{1, -2, 3}, 1ull << 60, std::make_shared<const mesh>(std::move(m))};
}

inline region_slice a_slice() {
  return {{1, -2, 3}, {0, -0.5f, 1}, {0, 7, ~0u}, {1, 2, 3, 4, 5, 6, 7, 8, 255}};
}

inline patch a_patch() {
  const auto some = [](size_t bytes) { return std::make_shared<const std::vector<std::byte>>(bytes, std::byte{0xab}); };
  return {{-7, 8, -9}, 5, 6, 7, 3, 1, some(300), {{0, some(100)}, {4, some(10)}}, true};
}

inline region_status a_region() {
  return {{1, 2, 3}, {4}, 5, {{6, 7}, 8, 9, 10}, 11, 12, 13, 14};
}

inline actor_status an_actor() {
  return {"mesher",
          17,
          region_key{1, 2, 3},
          device_id{0},
          "busy",
          "holds \"things\"\n",
          3,
          {{"integrate", 5, 0.1, 0.2, 0.3}, {"x", 1, 0, 0, 0}},
          2,
          "boom"};
}

/// Calls f(value) with a sample of every message.
template <class F>
void for_each_message(F f) {
  f(keyframe_id{"an id", "a session"});
  f(region_key{-1, 2, std::numeric_limits<int32_t>::min()});
  f(device_id{3});
  f(a_pose());
  f(a_batch());
  f(a_keyframe());
  f(map_input{a_keyframe()});
  f(map_input{revision{{"an id", "a session"}, a_pose(), 1ull << 63}});
  f(map_input{retraction{{"an id", "a session"}, 77}});
  f(verdict{outcome::refused, "pose[0][0] is nan, not finite", 1, {2, 3, 4, 5}});
  f(map_hash{~0ull, 0x0123456789abcdefull});
  f(field_stats{{1, 2}, 3, 4, 5});
  f(*a_mesh().surface);
  f(a_mesh());
  f(a_patch());
  f(a_region());
  f(map_status{"epoch", {{1, 2}, 3, 4, 5}, 6, 7, 8, 9, 10, {-1, -2, -3, 1, 2, 3.5f}, 0.05f, 0.15f, 64});
  f(camera{{"id"}, 5, a_pose(), true});
  f(handler_status{"integrate", 5, 1e-6, 2e-5, 3.25});
  f(an_actor());
  f(held_patch{{1, 2, 3}, ~0ull});
  f(subscribe{"e", {{{1, 2, 3}, 4}, {{5, 6, 7}, 8}}, 1'000'000});
  f(view{{1, 2, 3}, {0, -1, 0}});
  f(ack{{{{1, 2, 3}, 4}}});
  f(lost{{{1, 2, 3}, {-4, 5, -6}}});
  f(patch_form{true, ~0ull});
  f(keyframe_selection{"a session", std::nullopt, "a group", 1'700'000'000'000'000'000, 88});
  f(correction_entry{{"an id", "a session"}, "", a_pose(), std::nullopt});
  f(correction{{{{"an id"}, "", a_pose(), 7}, {{}, "a group", a_pose(), ~0ull}}});
  f(keyframes_left{1, 2, 3, 4});
  f(field_plane{1, -7, {-3, 4}, {5, 6}});
  f(a_slice());
  f(field_slice{{a_slice(), {}}, 1ull << 40});
  // Empty and absent things.
  f(keyframe{});
  f(patch{});
  f(actor_status{});
  f(region_mesh{{0, 0, 0}, 0, nullptr});
}

/// Are all fields equal? By their binary form.
template <class T>
bool same(const T& a, const T& b) {
  return to_binary(a) == to_binary(b);
}

template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size())
    return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!same(a[i], b[i]))
      return false;
  return true;
}

} // namespace tessera::samples
