#pragma once
// The convex solids that synthetic scenes are made of, with exact distances and exact ray intersections.

#include "net/sources/synthetic/exact_math.hpp"

#include <optional>

namespace tessera {

/// What a surface is made of; room_paint.cpp knows how each looks.
enum class paint : uint8_t {
  floor,
  ceiling,
  plaster,
  accent,
  rug,
  table,
  chair,
  sofa,
  cushion,
  shelf,
  books,
  crate,
  pillar,
  globe,
  stand,
  pot,
  leaves,
  frame,
  picture,
  window,
  lamp,
};

/// One convex solid: a box, a ball or an upright cylinder.
struct solid {
  enum class form : uint8_t { box, ball, cylinder };
  form shape = form::box;
  paint look = paint::plaster;
  vec3 centre;
  /// Box: half edges. Ball: radius in x. Cylinder: radius in x, half height in z.
  vec3 half;

  static solid box(paint look, vec3 low, vec3 high) { return {form::box, look, (low + high) * 0.5f, (high - low) * 0.5f}; }
  static solid ball(paint look, vec3 centre, float radius) { return {form::ball, look, centre, {radius, radius, radius}}; }
  static solid cylinder(paint look, vec3 base, float radius, float height) {
    return {form::cylinder, look, base + vec3{0, 0, height / 2}, {radius, radius, height / 2}};
  }

  /// Signed distance to its surface, negative inside; exact.
  [[nodiscard]] float distance(vec3 p) const;
  /// The point of its surface that is nearest to a point inside of it.
  [[nodiscard]] vec3 pushed_out(vec3 inside) const;
  /// Where a ray from outside enters it: the distance in lengths of `direction`, and the outward normal.
  struct entry {
    float t;
    vec3 normal;
  };
  [[nodiscard]] std::optional<entry> cast(vec3 origin, vec3 direction) const;
  /// Radius of a ball around `centre` that holds it.
  [[nodiscard]] float bound() const {
    return shape == form::ball ? half.x : length(shape == form::box ? half : vec3{half.x, 0, half.z});
  }
};

} // namespace tessera
