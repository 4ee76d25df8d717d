#include "net/sources/synthetic/solid.hpp"

#include <algorithm>

namespace tessera {

namespace {

float larger(float a, float b) {
  return a > b ? a : b;
}
float smaller(float a, float b) {
  return a < b ? a : b;
}
float absolute(float a) {
  return a < 0 ? -a : a;
}

/// The box's distance to a point, both given by the point's excess over the half edges on each axis.
float excess_distance(float x, float y, float z) {
  float outside = length({larger(x, 0), larger(y, 0), larger(z, 0)});
  return outside + smaller(larger(x, larger(y, z)), 0);
}

std::optional<solid::entry> cast_box(const solid& s, vec3 origin, vec3 direction) {
  vec3 o = origin - s.centre;
  float enter = -3e38f, leave = 3e38f;
  int axis = -1;
  const float from[3] = {o.x, o.y, o.z}, along[3] = {direction.x, direction.y, direction.z},
              half[3] = {s.half.x, s.half.y, s.half.z};
  for (int a = 0; a < 3; ++a) {
    if (along[a] == 0) {
      if (absolute(from[a]) > half[a])
        return std::nullopt;
      continue;
    }
    float inverse = 1 / along[a];
    float t0 = (-half[a] - from[a]) * inverse, t1 = (half[a] - from[a]) * inverse;
    if (t0 > t1)
      std::swap(t0, t1);
    if (t0 > enter) {
      enter = t0;
      axis = a;
    }
    leave = smaller(leave, t1);
  }
  if (enter > leave || enter <= 0 || axis < 0)
    return std::nullopt;
  solid::entry hit{enter, {}};
  float sign = along[axis] > 0 ? -1.0f : 1.0f;
  (axis == 0 ? hit.normal.x : axis == 1 ? hit.normal.y : hit.normal.z) = sign;
  return hit;
}

std::optional<solid::entry> cast_ball(const solid& s, vec3 origin, vec3 direction) {
  vec3 o = origin - s.centre;
  float a = dot(direction, direction), b = dot(o, direction);
  // The discriminant from the ball's nearest point to the ray: no cancellation of large squares.
  vec3 nearest = o - direction * (b / a);
  float rest = s.half.x * s.half.x - dot(nearest, nearest);
  if (rest < 0)
    return std::nullopt;
  float t = (-b - std::sqrt(rest * a)) / a;
  if (t <= 0)
    return std::nullopt;
  return solid::entry{t, (o + direction * t) * (1 / s.half.x)};
}

std::optional<solid::entry> cast_cylinder(const solid& s, vec3 origin, vec3 direction) {
  vec3 o = origin - s.centre;
  std::optional<solid::entry> hit;
  float a = direction.x * direction.x + direction.y * direction.y;
  if (a > 0) {
    float b = o.x * direction.x + o.y * direction.y;
    float nx = o.x - direction.x * (b / a), ny = o.y - direction.y * (b / a);
    float rest = s.half.x * s.half.x - (nx * nx + ny * ny);
    if (rest >= 0) {
      float t = (-b - std::sqrt(rest * a)) / a;
      float z = o.z + direction.z * t;
      if (t > 0 && absolute(z) <= s.half.z)
        hit = {t, {(o.x + direction.x * t) / s.half.x, (o.y + direction.y * t) / s.half.x, 0}};
    }
  }
  if (direction.z != 0) {
    float side = direction.z > 0 ? -1.0f : 1.0f; // the cap that faces the ray
    float t = (side * s.half.z - o.z) / direction.z;
    float x = o.x + direction.x * t, y = o.y + direction.y * t;
    if (t > 0 && x * x + y * y <= s.half.x * s.half.x && (!hit || t < hit->t))
      hit = {t, {0, 0, side}};
  }
  return hit;
}

} // namespace

float solid::distance(vec3 p) const {
  vec3 o = p - centre;
  switch (shape) {
  case form::box:
    return excess_distance(absolute(o.x) - half.x, absolute(o.y) - half.y, absolute(o.z) - half.z);
  case form::ball:
    return length(o) - half.x;
  case form::cylinder:
    // A box in the half plane through its axis.
    return excess_distance(std::sqrt(o.x * o.x + o.y * o.y) - half.x, -1e30f, absolute(o.z) - half.z);
  }
  return 0;
}

vec3 solid::pushed_out(vec3 inside) const {
  vec3 o = inside - centre;
  auto towards = [](float v, float edge) { return v < 0 ? -edge : edge; };
  if (shape == form::box) {
    float dx = half.x - absolute(o.x), dy = half.y - absolute(o.y), dz = half.z - absolute(o.z);
    if (dx <= dy && dx <= dz)
      o.x = towards(o.x, half.x);
    else if (dy <= dz)
      o.y = towards(o.y, half.y);
    else
      o.z = towards(o.z, half.z);
  } else if (shape == form::ball) {
    float r = length(o);
    o = r > 0 ? o * (half.x / r) : vec3{half.x, 0, 0};
  } else {
    float r = std::sqrt(o.x * o.x + o.y * o.y);
    if (half.z - absolute(o.z) < half.x - r) {
      o.z = towards(o.z, half.z);
    } else if (r > 0) {
      o.x *= half.x / r;
      o.y *= half.x / r;
    } else {
      o.x = half.x;
    }
  }
  return centre + o;
}

std::optional<solid::entry> solid::cast(vec3 origin, vec3 direction) const {
  switch (shape) {
  case form::box:
    return cast_box(*this, origin, direction);
  case form::ball:
    return cast_ball(*this, origin, direction);
  case form::cylinder:
    return cast_cylinder(*this, origin, direction);
  }
  return std::nullopt;
}

} // namespace tessera
