#pragma once
// How a ray writes to voxels (docs/field.md, "Integrate"). Floats end where the ray is set up; the walk
// itself is integers.

#include "gpu/shared/lattice.hpp"
#include "gpu/shared/voxel.hpp"

#include <cmath>
#include <cstdint>

namespace tessera {

/// A pose and the constants of a walk, in voxels.
struct walk_frame {
  double linear[9]{};        ///< world_from_camera, row-major: rotation times scale
  double origin[3]{};        ///< camera, in voxels
  double truncation = 3;     ///< in voxels
  double reach = 1.875;      ///< how far behind the surface is written, in voxels
  double distance_scale = 0; ///< (255 / truncation) * 1024
  // Weights fall to 0 at 255 and at -behind, distance units; the falls are 65536 / the way on which they
  // fall.
  int32_t behind = 255, fall_front = 0, fall_behind = 0;
};

/// A voxel that gets less than this of a ray, of 256, gets nothing: it lies beside the ray by nearly a voxel,
/// and where the surface ends it would carry it on into free space.
inline constexpr int32_t least_share = 17;

/// Makes a frame from a row-major pose in metres.
TESSERA_HD walk_frame make_walk_frame(const float* m, float voxel_m, float truncation_m) {
  walk_frame f;
  const double voxel = voxel_m;
  for (int r = 0; r < 3; ++r) {
    for (int c = 0; c < 3; ++c)
      f.linear[3 * r + c] = m[4 * r + c];
    f.origin[r] = static_cast<double>(m[4 * r + 3]) / voxel;
  }
  f.truncation = static_cast<double>(truncation_m) / voxel;
  f.distance_scale = 255.0 / f.truncation * 1024.0;
  f.reach = f.truncation < 1.875 ? f.truncation : 1.875;
  const auto half_voxel = static_cast<int32_t>(std::floor(255.0 / f.truncation * 0.5));
  const auto one_voxel = static_cast<int32_t>(std::floor(255.0 / f.truncation));
  f.behind = static_cast<int32_t>(std::floor(255.0 / f.truncation * f.reach));
  f.fall_front = 65536 / (255 - half_voxel);
  f.fall_behind = 65536 / (f.behind > one_voxel ? f.behind - one_voxel : 1);
  return f;
}

/// A ray ready to be walked. Axis a is the one it runs along most; b and c are the other two in ascending
/// order.
struct ray_walk {
  int32_t axis;                                  ///< a: 0, 1 or 2
  int32_t end_a, end_b, end_c;                   ///< end point, 1/256 voxel
  int32_t direction_a, direction_b, direction_c; ///< unit direction times distance_scale
  int32_t slope_b, slope_c;                      ///< movement along b and c for one voxel along a, 1/65536
  int32_t first, last;                           ///< slices a = first .. last; none if the ray writes nothing
  int32_t weight;                                ///< 4 to 124
};

/// Movement across, in 1/65536 voxel, for a movement along the main axis in 1/256 voxel.
TESSERA_HD int32_t slide(int32_t along, int32_t slope) {
  return along * slope >> 8;
}

/// Rounds to the nearest integer, halves up.
TESSERA_HD int32_t round_to_int(double x) {
  return static_cast<int32_t>(std::floor(x + 0.5));
}

/// Sets a ray up; without branches, so that many are set up at once. Returns false if it has no direction,
/// leaves the map or meets no slice.
TESSERA_HD bool setup_walk(const walk_frame& f, int32_t x, int32_t y, int32_t z, int32_t points, ray_walk& w) {
  const double px = x / 256.0, py = y / 256.0, pz = z / 256.0;
  const double dx = f.linear[0] * px + f.linear[1] * py + f.linear[2] * pz;
  const double dy = f.linear[3] * px + f.linear[4] * py + f.linear[5] * pz;
  const double dz = f.linear[6] * px + f.linear[7] * py + f.linear[8] * pz;
  const double wx = dx + f.origin[0], wy = dy + f.origin[1], wz = dz + f.origin[2];
  const double norm = std::sqrt(dx * dx + dy * dy + dz * dz);
  constexpr double limit = lattice::map_limit - 64;
  const bool valid = all_of(norm > 1e-3, wx<limit, wx> - limit, wy<limit, wy> - limit, wz<limit, wz> - limit);
  // Any other ray is set up as one along x that ends at the origin, so that all conversions below are
  // defined.
  const double length = valid ? norm : 1.0;
  const double ux = valid ? dx / length : 1.0, uy = valid ? dy / length : 0.0, uz = valid ? dz / length : 0.0;
  const double ex = valid ? wx : 0.0, ey = valid ? wy : 0.0, ez = valid ? wz : 0.0;
  const double ax = ux < 0 ? -ux : ux, ay = uy < 0 ? -uy : uy, az = uz < 0 ? -uz : uz;
  const bool along_x = all_of(ax >= ay, ax >= az), along_y = all_of(!along_x, ay >= az), along_z = all_of(!along_x, !along_y);
  const double ua = along_x ? ux : along_y ? uy : uz, ub = along_x ? uy : ux, uc = along_z ? uy : uz;
  const double ea = along_x ? ex : along_y ? ey : ez, eb = along_x ? ey : ex, ec = along_z ? ey : ez;
  w.axis = along_x ? 0 : along_y ? 1 : 2;
  w.end_a = round_to_int(ea * 256.0);
  w.end_b = round_to_int(eb * 256.0);
  w.end_c = round_to_int(ec * 256.0);
  w.direction_a = round_to_int(ua * f.distance_scale);
  w.direction_b = round_to_int(ub * f.distance_scale);
  w.direction_c = round_to_int(uc * f.distance_scale);
  w.slope_b = round_to_int(ub / ua * 65536.0);
  w.slope_c = round_to_int(uc / ua * 65536.0);
  const double front = f.truncation < length ? f.truncation : length; // nothing behind the camera
  const double low_reach = ua > 0 ? front * ua : f.reach * -ua, high_reach = ua > 0 ? f.reach * ua : front * -ua;
  const int32_t first = -static_cast<int32_t>(std::floor(-(ea - low_reach))),
                last = static_cast<int32_t>(std::floor(ea + high_reach));
  w.first = valid ? first : 1;
  w.last = valid ? last : 0;
  w.weight = (points < 31 ? points : 31) * 4;
  return w.first <= w.last;
}

/// Bounds, low and high inclusive, of all voxels that a ray may write to.
TESSERA_HD void walk_box(const ray_walk& w, int32_t low[3], int32_t high[3]) {
  const int a = w.axis, b = a == 0 ? 1 : 0, c = a == 2 ? 1 : 2;
  const auto across = [&w](int32_t k, int32_t end, int32_t slope) {
    return static_cast<int32_t>((end * 256LL + slide(k * 256 - w.end_a, slope)) >> 16);
  };
  low[a] = w.first;
  high[a] = w.last;
  const int32_t b0 = across(w.first, w.end_b, w.slope_b), b1 = across(w.last, w.end_b, w.slope_b);
  const int32_t c0 = across(w.first, w.end_c, w.slope_c), c1 = across(w.last, w.end_c, w.slope_c);
  low[b] = b0 < b1 ? b0 : b1;
  high[b] = (b0 < b1 ? b1 : b0) + 1;
  low[c] = c0 < c1 ? c0 : c1;
  high[c] = (c0 < c1 ? c1 : c0) + 1;
}

// The two functions below take an int32_t, or a vector of them (GCC's and Clang's vector extension): the same arithmetic. No
// vector is passed or returned by value: how that is done depends on the processor that a function is compiled for, and callers
// are compiled for several (gpu/cpu/clones.hpp). -Wpsabi tells of any.

/// Makes distance units of a sum of products of ray_walk's directions and offsets in 1/256 voxel, rounded and
/// clamped.
template <class Int>
TESSERA_HD_INLINED void clamp_distance(const Int& scaled, Int& distance) {
  const Int q = (scaled + (1 << 17)) >> 18, most = q > 255 ? Int{} + 255 : q;
  distance = most < -255 ? Int{} - 255 : most;
}

/// Weight of a sample: the ray's weight times its bilinear share (of 256), falling off on both sides of the
/// surface; 0 writes nothing.
template <class Int>
TESSERA_HD_INLINED void sample_weight(const walk_frame& f, int32_t ray_weight, const Int& share, const Int& distance,
                                      Int& weight) {
  const Int front = (255 - distance) * f.fall_front >> 8, behind = (f.behind + distance) * f.fall_behind >> 8;
  Int part = front < behind ? front : behind;
  part = part < 256 ? part : Int{} + 256;
  part = ((part > 0) & (share >= least_share)) != 0 ? part : Int{};
  weight = (ray_weight * share * part + 65535) >> 16;
}

} // namespace tessera
