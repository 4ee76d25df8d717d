#include "net/sources/synthetic/synthetic_scan.hpp"

#include "messages/clock.hpp"

#include <algorithm>
#include <stdexcept>

namespace tessera {

namespace {

constexpr uint64_t frame_interval_ns = 40'000'000;
constexpr uint64_t room_steps = 200;
// The building: rooms on a grid, 10,000 keyframes for all of them.
constexpr uint64_t rooms_x = 25, rooms_y = 25, steps_per_room = 16;
constexpr float pitch_x = 6.5f, pitch_y = 5.5f;

void check(const char* name, double value, double least, double most) {
  if (!(value >= least && value <= most))
    throw std::invalid_argument(std::string("synthetic ") + name + " is " + std::to_string(value) + ", must be "
                                + std::to_string(least) + " to " + std::to_string(most));
}

/// A solid that a tile of the image may show, and how far it is at least.
struct candidate {
  const solid* what;
  float nearest;
};

/// The solids that rays within a cone may hit, nearest first.
void cull(vec3 origin, vec3 axis, float cosine, float sine, std::vector<candidate>& out) {
  out.clear();
  for (const auto& s : synthetic_room::solids()) {
    vec3 to = s.centre - origin;
    float radius = s.bound(), distance = length(to);
    if (distance > radius) {
      float along = dot(to, axis);
      float across = std::sqrt(std::max(dot(to, to) - along * along, 0.0f));
      // The distance of the ball's centre from the cone's mantle, and from its tip for what lies behind.
      if (across * cosine - along * sine > radius || along < -radius)
        continue;
    }
    out.push_back({&s, distance - radius});
  }
  std::sort(out.begin(), out.end(), [](const candidate& a, const candidate& b) {
    return a.nearest != b.nearest ? a.nearest < b.nearest : a.what < b.what;
  });
}

} // namespace

void synthetic_options::validate() const {
  check("width", width, 8, 4096);
  check("height", height, 8, 4096);
  check("view", static_cast<double>(view_deg), 20, 150);
  check("noise", static_cast<double>(noise_m), 0, 10);
  check("outliers", static_cast<double>(outliers), 0, 1);
}

synthetic_scan::synthetic_scan(std::string scene, const synthetic_options& options)
  : scene_(std::move(scene)), options_(options) {
  options.validate();
  if (scene_ != "room" && scene_ != "building")
    throw std::invalid_argument("there is no synthetic scene '" + scene_ + "': there are synthetic:room and synthetic:building");
  building_ = scene_ == "building";
  per_loop_ = options.keyframes > 0 ? options.keyframes : building_ ? rooms_x * rooms_y * steps_per_room : room_steps;
  double half = static_cast<double>(options.view_deg) / 720;
  focal_px_ = static_cast<float>(static_cast<double>(options.width) / 2 * turn_cos(half) / turn_sin(half));
}

std::optional<uint64_t> synthetic_scan::total() const {
  if (options_.loops == 0)
    return std::nullopt;
  return options_.loops * per_loop_;
}

synthetic_scan::place synthetic_scan::place_of(uint64_t index) const {
  uint64_t step = index % per_loop_;
  if (!building_)
    return {{}, 0, step, per_loop_};
  // Row by row, there and back.
  uint64_t room = step / steps_per_room % (rooms_x * rooms_y), row = room / rooms_x, column = room % rooms_x;
  if (row % 2 == 1)
    column = rooms_x - 1 - column;
  return {{static_cast<float>(column) * pitch_x, static_cast<float>(row) * pitch_y, 0},
          static_cast<uint32_t>(row * rooms_x + column),
          step % steps_per_room,
          2 * steps_per_room}; // the first lap of the way alone: the second sees the same again
}

pose synthetic_scan::camera(uint64_t index) const {
  auto at = place_of(index);
  pose p = room_camera(at.step, at.steps);
  p.m[3] += at.offset.x;
  p.m[7] += at.offset.y;
  return p;
}

float synthetic_scan::distance(float x, float y, float z) const {
  if (building_) {
    auto nearest = [](float v, float pitch, uint64_t count) {
      return clamped(std::floor(v / pitch + 0.5f), 0, static_cast<float>(count - 1)) * pitch;
    };
    x -= nearest(x, pitch_x, rooms_x);
    y -= nearest(y, pitch_y, rooms_y);
  }
  return room_distance(x, y, z);
}

keyframe synthetic_scan::make(uint64_t index) const {
  constexpr uint32_t tile = 16;
  auto at = place_of(index);
  pose p = room_camera(at.step, at.steps); // in the room's own coordinates
  const auto& m = p.m;
  vec3 right{m[0], m[4], m[8]}, down{m[1], m[5], m[9]}, forward{m[2], m[6], m[10]}, origin{m[3], m[7], m[11]};
  uint32_t width = options_.width, height = options_.height;
  float cx = (static_cast<float>(width) - 1) / 2, cy = (static_cast<float>(height) - 1) / 2, inverse = 1 / focal_px_;
  auto ray = [&](float u, float v) { return normalised(right * ((u - cx) * inverse) + down * ((v - cy) * inverse) + forward); };

  auto body = std::make_shared<owned_keyframe_body>();
  body->point_data.resize(size_t{3} * width * height);
  body->colour_data.resize(size_t{3} * width * height);
  std::vector<candidate> candidates;
  uint64_t seed = hash_of(options_.seed, index);
  bool noisy = options_.noise_m > 0 || options_.outliers > 0;
  size_t points = 0;
  for (uint32_t v0 = 0; v0 < height; v0 += tile)
    for (uint32_t u0 = 0; u0 < width; u0 += tile) {
      uint32_t u1 = std::min(u0 + tile, width), v1 = std::min(v0 + tile, height);
      auto fu0 = static_cast<float>(u0), fv0 = static_cast<float>(v0), fu1 = static_cast<float>(u1 - 1),
           fv1 = static_cast<float>(v1 - 1);
      vec3 axis = ray((fu0 + fu1) / 2, (fv0 + fv1) / 2);
      float cosine = 1;
      for (vec3 corner : {ray(fu0, fv0), ray(fu1, fv0), ray(fu0, fv1), ray(fu1, fv1)})
        cosine = std::min(cosine, dot(axis, corner));
      cosine = std::max(cosine - 1e-5f, 0.0f);
      cull(origin, axis, cosine, std::sqrt(1 - cosine * cosine), candidates);
      for (uint32_t v = v0; v < v1; ++v)
        for (uint32_t u = u0; u < u1; ++u) {
          vec3 direction = ray(static_cast<float>(u), static_cast<float>(v));
          solid::entry nearest{3e38f, {}};
          const solid* what = nullptr;
          for (const auto& c : candidates) {
            if (nearest.t < c.nearest)
              break;
            if (auto hit = c.what->cast(origin, direction); hit && hit->t < nearest.t) {
              nearest = *hit;
              what = c.what;
            }
          }
          if (what == nullptr)
            continue;
          auto colour = synthetic_room::colour(*what, origin + direction * nearest.t, nearest.normal, at.variant);
          float t = nearest.t;
          if (noisy) {
            uint64_t bits = hash_of(seed, uint64_t{v} * width + u);
            if (unit_float(hash_of(bits, 2)) < options_.outliers)
              t *= 0.2f + 1.2f * unit_float(hash_of(bits, 3));
            else
              t += options_.noise_m * bell_float(bits);
          }
          vec3 end = origin + direction * t + at.offset;
          float* point = body->point_data.data() + 3 * points;
          point[0] = end.x;
          point[1] = end.y;
          point[2] = end.z;
          std::copy(colour.begin(), colour.end(), body->colour_data.begin() + static_cast<std::ptrdiff_t>(3 * points));
          ++points;
        }
    }
  body->point_data.resize(3 * points);
  body->colour_data.resize(3 * points);

  keyframe frame;
  auto number = std::to_string(index);
  frame.id.value = scene_ + "-" + std::string(number.size() < 6 ? 6 - number.size() : 0, '0') + number;
  frame.timestamp_ns = (index + 1) * frame_interval_ns; // 0 would mean that it has none
  frame.received_ns = system_ns();
  frame.world_from_camera = camera(index);
  frame.body = std::move(body);
  return frame;
}

} // namespace tessera
