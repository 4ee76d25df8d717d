#pragma once
// How a ray writes to voxels (docs/field.md, "Integrate"). Floats end where the ray is set up; the walk itself is integers.

#include "gpu/shared/lattice.hpp"
#include "gpu/shared/voxel.hpp"

#include <cmath>
#include <cstdint>

namespace tessera {

/// A pose and the constants of a walk, in voxels.
struct walk_frame {
  double rotation[9]{};    ///< world_from_camera, row-major
  double origin[3]{};      ///< camera, in voxels
  double truncation = 3;   ///< in voxels
  double distance_scale = 0; ///< (255 / truncation) * 1024
  int32_t behind = 255;    ///< distance units of one voxel: the weight falls off beyond it
  int32_t falloff = 0;     ///< 65536 / (255 - behind)
};

/// Makes a frame from a row-major pose in metres.
TESSERA_HD walk_frame make_walk_frame(const float* m, float voxel_m, float truncation_m) {
  walk_frame f;
  const double voxel = voxel_m;
  for (int r = 0; r < 3; ++r) {
    for (int c = 0; c < 3; ++c)
      f.rotation[3 * r + c] = m[4 * r + c];
    f.origin[r] = static_cast<double>(m[4 * r + 3]) / voxel;
  }
  f.truncation = static_cast<double>(truncation_m) / voxel;
  f.distance_scale = 255.0 / f.truncation * 1024.0;
  f.behind = static_cast<int32_t>(std::floor(255.0 / f.truncation));
  f.falloff = f.behind < 255 ? 65536 / (255 - f.behind) : 0;
  return f;
}

/// A ray ready to be walked. Axis a is the one it runs along most; b and c are the other two in ascending order.
struct ray_walk {
  int32_t end[3];       ///< end point, 1/256 voxel
  int32_t direction[3]; ///< unit direction times distance_scale
  int32_t axis;         ///< a: 0, 1 or 2
  int32_t slope[2];     ///< movement along b and c for one voxel along a, 1/65536
  int32_t first, last;  ///< slices a = first .. last
  int32_t weight;       ///< 4 to 124
  int32_t low[3], high[3]; ///< bounds of all voxels it may write to
};

/// Movement across, in 1/65536 voxel, for a movement along the main axis in 1/256 voxel.
TESSERA_HD int32_t slide(int32_t along, int32_t slope) { return along * slope >> 8; }

/// Sets a ray up. Returns false if it has no direction or leaves the map.
TESSERA_HD bool setup_walk(const walk_frame& f, int32_t x, int32_t y, int32_t z, int32_t points, ray_walk& w) {
  const double p[3] = {x / 256.0, y / 256.0, z / 256.0};
  double e[3], d[3];
  for (int i = 0; i < 3; ++i) {
    d[i] = f.rotation[3 * i] * p[0] + f.rotation[3 * i + 1] * p[1] + f.rotation[3 * i + 2] * p[2];
    e[i] = d[i] + f.origin[i];
  }
  const double length = std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
  if (!(length > 1e-3))
    return false;
  const double limit = lattice::map_limit - 64;
  for (int i = 0; i < 3; ++i)
    if (!(e[i] < limit && e[i] > -limit))
      return false;
  for (int i = 0; i < 3; ++i)
    d[i] = d[i] / length;
  const double ax = d[0] < 0 ? -d[0] : d[0], ay = d[1] < 0 ? -d[1] : d[1], az = d[2] < 0 ? -d[2] : d[2];
  const int a = ax >= ay && ax >= az ? 0 : ay >= az ? 1 : 2;
  const int b = a == 0 ? 1 : 0, c = a == 2 ? 1 : 2;
  w.axis = a;
  for (int i = 0; i < 3; ++i) {
    w.end[i] = static_cast<int32_t>(std::floor(e[i] * 256.0 + 0.5));
    w.direction[i] = static_cast<int32_t>(std::floor(d[i] * f.distance_scale + 0.5));
  }
  w.slope[0] = static_cast<int32_t>(std::floor(d[b] / d[a] * 65536.0 + 0.5));
  w.slope[1] = static_cast<int32_t>(std::floor(d[c] / d[a] * 65536.0 + 0.5));
  const double front = f.truncation < length ? f.truncation : length; // nothing behind the camera
  const double low_reach = d[a] > 0 ? front * d[a] : f.truncation * -d[a];
  const double high_reach = d[a] > 0 ? f.truncation * d[a] : front * -d[a];
  w.first = -static_cast<int32_t>(std::floor(-(e[a] - low_reach)));
  w.last = static_cast<int32_t>(std::floor(e[a] + high_reach));
  w.weight = (points < 31 ? points : 31) * 4;
  w.low[a] = w.first;
  w.high[a] = w.last;
  for (int i = 0; i < 2; ++i) {
    const int j = i == 0 ? b : c;
    const int32_t at_first = static_cast<int32_t>((w.end[j] * 256LL + slide(w.first * 256 - w.end[a], w.slope[i])) >> 16);
    const int32_t at_last = static_cast<int32_t>((w.end[j] * 256LL + slide(w.last * 256 - w.end[a], w.slope[i])) >> 16);
    w.low[j] = at_first < at_last ? at_first : at_last;
    w.high[j] = (at_first < at_last ? at_last : at_first) + 1;
  }
  return w.first <= w.last;
}

/// Distance of the sample at voxel offset (da, db, dc) from the end point, each 1/256 voxel, in distance units, clamped.
TESSERA_HD int32_t clamp_distance(int32_t scaled) {
  const int32_t q = (scaled + (1 << 17)) >> 18;
  return q > 255 ? 255 : q < -255 ? -255 : q;
}

/// Weight of a sample: the ray's weight times its bilinear share (of 256), falling off behind the surface; 0 writes nothing.
TESSERA_HD int32_t sample_weight(const walk_frame& f, int32_t ray_weight, int32_t share, int32_t distance) {
  const int32_t w = (ray_weight * share + 255) >> 8;
  if (distance >= -f.behind)
    return w;
  return (w * (((255 + distance) * f.falloff) >> 8) + 255) >> 8;
}

} // namespace tessera
