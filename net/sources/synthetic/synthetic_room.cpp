#include "net/sources/synthetic/synthetic_room.hpp"

namespace tessera {

namespace {

// What stands on the floor or at a wall reaches into it, so that no hidden face counts as surface. Nothing is
// thinner than 20 cm between two visible sides: thinner things tell more about truncation than about the map.
std::vector<solid> furnish() {
  std::vector<solid> s;
  auto box = [&](paint look, vec3 low, vec3 high) { s.push_back(solid::box(look, low, high)); };
  auto ball = [&](paint look, vec3 centre, float radius) { s.push_back(solid::ball(look, centre, radius)); };
  auto cylinder
    = [&](paint look, vec3 base, float radius, float height) { s.push_back(solid::cylinder(look, base, radius, height)); };
  constexpr float in = 0.5f; // how far things reach into floor and walls
  auto lo = room_low, hi = room_high;
  box(paint::floor, {lo.x - 1, lo.y - 1, lo.z - 1}, {hi.x + 1, hi.y + 1, lo.z});
  box(paint::ceiling, {lo.x - 1, lo.y - 1, hi.z}, {hi.x + 1, hi.y + 1, hi.z + 1});
  box(paint::accent, {lo.x - 1, lo.y - 1, lo.z - 1}, {lo.x, hi.y + 1, hi.z + 1});
  box(paint::plaster, {hi.x, lo.y - 1, lo.z - 1}, {hi.x + 1, hi.y + 1, hi.z + 1});
  box(paint::plaster, {lo.x - 1, lo.y - 1, lo.z - 1}, {hi.x + 1, lo.y, hi.z + 1});
  box(paint::plaster, {lo.x - 1, hi.y, lo.z - 1}, {hi.x + 1, hi.y + 1, hi.z + 1});
  // Desk: two cheeks and a top.
  box(paint::table, {-0.7f, -0.4f, -in}, {-0.45f, 0.4f, 0.6f});
  box(paint::table, {0.45f, -0.4f, -in}, {0.7f, 0.4f, 0.6f});
  box(paint::table, {-0.8f, -0.45f, 0.52f}, {0.8f, 0.45f, 0.74f});
  // On it: a globe on its stand, and books.
  cylinder(paint::stand, {0.35f, 0.05f, 0.5f}, 0.12f, 0.36f);
  ball(paint::globe, {0.35f, 0.05f, 1.05f}, 0.24f);
  box(paint::books, {-0.55f, -0.2f, 0.5f}, {-0.2f, 0.1f, 0.95f});
  // Sofa at the coloured wall.
  box(paint::sofa, {-3 - in, -1.3f, -in}, {-2.1f, 1.1f, 0.4f});
  box(paint::sofa, {-3 - in, -1.3f, -in}, {-2.68f, 1.1f, 0.85f});
  box(paint::sofa, {-3 - in, -1.3f, -in}, {-2.1f, -1.05f, 0.62f});
  box(paint::sofa, {-3 - in, 0.85f, -in}, {-2.1f, 1.1f, 0.62f});
  box(paint::cushion, {-2.8f, -0.95f, 0.2f}, {-2.46f, -0.5f, 0.78f});
  box(paint::cushion, {-2.8f, 0.3f, 0.2f}, {-2.46f, 0.75f, 0.78f});
  // Shelf at the wall opposite, with blocks of books that stand out by different depths.
  box(paint::shelf, {2.6f, -1.7f, -in}, {3 + in, 0.5f, 0.5f});
  box(paint::shelf, {2.66f, -1.7f, -in}, {3 + in, 0.5f, 2.05f});
  for (int row = 0; row < 3; ++row) {
    float z = 0.58f + 0.48f * static_cast<float>(row), y = -1.6f + 0.13f * static_cast<float>(row);
    for (int block = 0; block < 3; ++block) {
      auto k = static_cast<float>((block * 2 + row * 3) % 5);
      float wide = 0.34f + 0.05f * k, deep = 0.05f + 0.025f * k, high = 0.3f + 0.02f * k;
      box(paint::books, {2.66f - deep, y, z}, {3, y + wide, z + high});
      y += wide + 0.1f;
    }
  }
  // Pillar with foot and head.
  cylinder(paint::pillar, {2.3f, 1.75f, -in}, 0.24f, 2.7f + 2 * in);
  box(paint::pillar, {1.96f, 1.41f, -in}, {2.64f, 2.09f, 0.22f});
  box(paint::pillar, {1.96f, 1.41f, 2.48f}, {2.64f, 2.09f, 2.7f + in});
  // Crates in the corner.
  box(paint::crate, {-2.75f, 1.45f, -in}, {-1.95f, 2.25f, 0.7f});
  box(paint::crate, {-2.6f, 1.65f, 0.4f}, {-2.1f, 2.15f, 1.15f});
  // Plant.
  cylinder(paint::pot, {-2.4f, -2.0f, -in}, 0.24f, 0.45f + in);
  ball(paint::leaves, {-2.4f, -2.0f, 0.78f}, 0.4f);
  ball(paint::leaves, {-2.55f, -2.1f, 1.2f}, 0.3f);
  ball(paint::leaves, {-2.25f, -1.9f, 1.35f}, 0.24f);
  // Stools.
  cylinder(paint::chair, {0.95f, -0.95f, -in}, 0.24f, 0.42f + in);
  cylinder(paint::chair, {-0.9f, 0.95f, -in}, 0.24f, 0.42f + in);
  box(paint::chair, {-0.2f, -1.15f, -in}, {0.2f, -0.75f, 0.42f});
  // Chest under the window.
  box(paint::table, {-0.9f, 2.05f, -in}, {0.9f, 2.5f + in, 0.5f});
  // A lamp half in the ceiling.
  ball(paint::lamp, {0, 0, 2.75f}, 0.34f);
  // Pictures.
  box(paint::frame, {-3 - in, -0.75f, 1.3f}, {-2.95f, 0.55f, 2.15f});
  box(paint::picture, {-3 - in, -0.68f, 1.37f}, {-2.94f, 0.48f, 2.08f});
  box(paint::frame, {-0.7f, -2.5f - in, 1.2f}, {0.7f, -2.45f, 2.1f});
  box(paint::picture, {-0.63f, -2.5f - in, 1.27f}, {0.63f, -2.44f, 2.03f});
  // Window: a frame, and a pane that is set back.
  box(paint::frame, {-1.1f, 2.44f, 0.95f}, {1.1f, 2.5f + in, 2.25f});
  box(paint::window, {-1.0f, 2.43f, 1.05f}, {-0.05f, 2.5f + in, 2.15f});
  box(paint::window, {0.05f, 2.43f, 1.05f}, {1.0f, 2.5f + in, 2.15f});
  return s;
}

/// Signed distance to all solids: positive in free space, where it is exact.
float free_distance(vec3 p) {
  float nearest = 3e38f;
  for (const auto& s : synthetic_room::solids())
    nearest = std::min(nearest, s.distance(p));
  return nearest;
}

} // namespace

const std::vector<solid>& synthetic_room::solids() {
  static const std::vector<solid> all = furnish();
  return all;
}

float room_distance(float x, float y, float z) {
  const vec3 p{x, y, z};
  const auto& solids = synthetic_room::solids();
  float free = free_distance(p);
  if (free >= 0)
    return free;
  // Inside: leave one solid after another until free. Where they meet at right angles, the order that starts
  // right finds the nearest surface; another one ends farther away.
  constexpr float on_surface = 1e-5f;
  float best = 3e38f;
  for (const auto& first : solids) {
    if (first.distance(p) > -on_surface)
      continue;
    vec3 q = first.pushed_out(p);
    for (int step = 0; step < 6; ++step) {
      const solid* deepest = nullptr;
      float depth = -on_surface;
      for (const auto& s : solids)
        if (float d = s.distance(q); d < depth) {
          depth = d;
          deepest = &s;
        }
      if (deepest == nullptr) {
        best = std::min(best, length(q - p));
        break;
      }
      q = deepest->pushed_out(q);
    }
  }
  return best < 3e38f ? best : -free;
}

std::optional<room_hit> room_cast(vec3 origin, vec3 direction) {
  std::optional<solid::entry> nearest;
  const solid* what = nullptr;
  for (const auto& s : synthetic_room::solids())
    if (auto hit = s.cast(origin, direction); hit && (!nearest || hit->t < nearest->t)) {
      nearest = hit;
      what = &s;
    }
  if (!nearest)
    return std::nullopt;
  vec3 at = origin + direction * nearest->t;
  return room_hit{nearest->t, nearest->normal, synthetic_room::colour(*what, at, nearest->normal, 0)};
}

pose room_camera(uint64_t step, uint64_t steps) {
  // Twice around the desk: first looking outward, then across it; nodding all the while.
  double way = static_cast<double>(step % steps) / static_cast<double>(steps);
  double lap = 2 * way;
  double x = 1.55 * turn_cos(lap), y = 1.3 * turn_sin(lap), z = 1.45 + 0.25 * turn_sin(3 * way);
  // 0 on the first lap, half a turn on the second, softly at both changes.
  auto softly = [](double t) { return t <= 0 ? 0.0 : t >= 1 ? 1.0 : t * t * (3 - 2 * t); };
  double turned = softly((way - 0.45) / 0.1), back = softly((way - 0.9) / 0.1);
  double yaw = lap + 0.5 * (turned + back);
  double share = turned - back; // of looking across the room
  double nod = (1 - share) * 0.115 * turn_sin(9 * way) + share * (-0.05 + 0.05 * turn_sin(7 * way));
  double cp = turn_cos(nod), sp = turn_sin(nod), cy = turn_cos(yaw), sy = turn_sin(yaw);
  // Columns: right = forward x up, down = forward x right, forward.
  double fx = cy * cp, fy = sy * cp, fz = sp;
  double rx = sy, ry = -cy;
  double dx = -fz * ry, dy = fz * rx, dz = fx * ry - fy * rx;
  pose p;
  auto f = [](double v) { return static_cast<float>(v); };
  p.m = {f(rx), f(dx), f(fx), f(x), f(ry), f(dy), f(fy), f(y), 0, f(dz), f(fz), f(z), 0, 0, 0, 1};
  return p;
}

} // namespace tessera
