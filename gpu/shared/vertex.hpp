#pragma once
// A mesh's vertex out of the voxels about its edge (docs/field.md, "Extract"). How voxels are found and read is the caller's.

#include "gpu/shared/voxel.hpp"

#include <cmath>
#include <cstdint>
#include <limits>

namespace tessera {

/// The distance where nothing was observed.
inline constexpr float unobserved = std::numeric_limits<float>::infinity();

/// Mean distance of a voxel, in distance units.
TESSERA_HD float mean_distance(uint64_t w0, uint64_t w1) {
  const uint32_t weight = weight_sum(w1);
  return weight != 0 ? static_cast<float>(distance_sum(w0)) / static_cast<float>(weight) : unobserved;
}

/// Mean colour of an observed voxel, in the first three of Lanes: a type with arithmetic by element, which may be a vector.
template <class Lanes>
TESSERA_HD_INLINED Lanes mean_colour(uint64_t w0, uint64_t w1, uint64_t w2) {
  const Lanes sums = {static_cast<float>(static_cast<uint32_t>(w1 >> 32)), static_cast<float>(static_cast<uint32_t>(w2)),
                      static_cast<float>(static_cast<uint32_t>(w2 >> 32))};
  return sums / static_cast<float>(sample_count(w0));
}

/// What a vertex is but for its number.
struct vertex_attributes {
  float position[3]; ///< metres
  float normal[3];   ///< a unit vector; 0 where the field is flat
  uint8_t colour[3];
};

/// Slope of the distance along an axis at an end of the edge: forward, else backward, else 0. Both voxels lie within reach of any
/// cut.
template <class Voxels>
TESSERA_HD_INLINED float slope(const Voxels& voxels, int end, int axis, float here) {
  const float ahead = voxels.ahead(end, axis) - here;
  if (ahead != unobserved)
    return ahead;
  const float back = voxels.behind(end, axis);
  return back != unobserved ? here - back : 0.f;
}

/// Makes the vertex on the edge from voxel (x, y, z) along `axis`, whose ends were observed and lie on different sides. `voxels`
/// gives mean distances and colours: distance(end), colour(end) at the ends, 0 and 1; ahead(end, a), behind(end, a) at an end's
/// neighbours along another axis, `unobserved` where there is none. Vertex has what vertex_attributes has.
template <class Voxels, class Vertex>
TESSERA_HD_INLINED void make_vertex(const Voxels& voxels, int32_t x, int32_t y, int32_t z, int axis, float voxel_m, Vertex& out) {
  const float d0 = voxels.distance(0), d1 = voxels.distance(1);
  float t = d0 / (d0 - d1);
  t = t > 0.f ? t < 1.f ? t : 1.f : 0.f;
  float gradient[3];
  for (int other = 0; other < 3; ++other) {
    if (other == axis) {
      gradient[other] = d1 - d0;
      continue;
    }
    const float s0 = slope(voxels, 0, other, d0), s1 = slope(voxels, 1, other, d1);
    gradient[other] = s0 + (s1 - s0) * t;
  }
  const float length = std::sqrt(gradient[0] * gradient[0] + gradient[1] * gradient[1] + gradient[2] * gradient[2]);
  const float from[3] = {static_cast<float>(x), static_cast<float>(y), static_cast<float>(z)};
  // Colour: the means of both ends, weighted by nearness.
  const auto c0 = voxels.colour(0), c1 = voxels.colour(1);
  const auto mixed = c0 + (c1 - c0) * t + .5f;
  for (int k = 0; k < 3; ++k) {
    out.position[k] = (k == axis ? from[k] + t : from[k]) * voxel_m;
    out.normal[k] = length > 0.f ? gradient[k] / length : 0.f;
    out.colour[k] = static_cast<uint8_t>(static_cast<int32_t>(mixed[k])); // above 0: rounds down
  }
}

} // namespace tessera
