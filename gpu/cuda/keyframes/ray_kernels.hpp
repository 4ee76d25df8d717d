#pragma once
// Points to rays (docs/field.md, "Rays").

#include "gpu/cuda/device/atomics.hpp"
#include "gpu/shared/own_frame.hpp"
#include "messages/ray.hpp"

#include <cmath>
#include <cstdint>

namespace tessera::cuda {

/// Where a keyframe's points stand and which of them count.
struct point_rules {
  own_frame to;
  float per_voxel;
  float min2, max2; ///< squared ranges
  float min_confidence;
};

enum class fate : uint32_t { valid, not_finite, out_of_range, low_confidence, beyond_map };

/// A point's cell and the place in it.
struct placed_point {
  fate what;
  uint64_t cell; ///< three fields of 21 bits, x lowest
  uint32_t place[3];
};

TESSERA_HD bool is_finite(float v) {
  return v - v == 0.f;
}

TESSERA_HD placed_point place_point(const point_rules& rules, const float* p, const float* confidence) {
  constexpr float limit = static_cast<float>(1 << 20);
  constexpr uint32_t shift = uint32_t{1} << 28; // 2^20 cells, in 1/256
  const float *const r = rules.to.inverse, *const t = rules.to.camera;
  const float dx = p[0] - t[0], dy = p[1] - t[1], dz = p[2] - t[2];
  const float x = r[0] * dx + r[1] * dy + r[2] * dz, y = r[3] * dx + r[4] * dy + r[5] * dz, z = r[6] * dx + r[7] * dy + r[8] * dz;
  const float range2 = x * x + y * y + z * z;
  placed_point out{fate::valid, 0, {0, 0, 0}};
  if (!(range2 >= rules.min2 && range2 <= rules.max2)) {
    out.what = is_finite(p[0]) && is_finite(p[1]) && is_finite(p[2]) ? fate::out_of_range : fate::not_finite;
    return out;
  }
  if (confidence != nullptr && !(*confidence >= rules.min_confidence)) {
    out.what = fate::low_confidence;
    return out;
  }
  const float u[3] = {x * rules.per_voxel, y * rules.per_voxel, z * rules.per_voxel};
  for (int i = 0; i < 3; ++i) {
    if (!(u[i] < limit && u[i] > -limit)) {
      out.what = fate::beyond_map;
      return out;
    }
    const uint32_t f = static_cast<uint32_t>(static_cast<int32_t>(std::floor(u[i] * 256.f + 0.5f))) + shift;
    out.cell |= static_cast<uint64_t>(f >> 8) << 21 * i;
    out.place[i] = f & 255;
  }
  return out;
}

/// Sums of a cell: two of 32 bits in each word. All zero while unused.
struct cell {
  uint64_t name;     ///< the cell's key + 1
  uint64_t place_xy; ///< x | y << 32
  uint64_t place_z_count;
  uint64_t red_green, blue;
};

/// What a keyframe comes to.
struct ray_totals {
  uint32_t cells;
  uint32_t fates[5]; ///< by fate; valid ones are not counted
};

/// Item: a point. Adds it to its cell. The table must have more cells than there are points; `used` lists its occupied ones.
struct add_points {
  point_rules rules;
  const float* points;
  const uint8_t* colours;
  const float* confidence; ///< null if there is none
  uint32_t channels;
  cell* table;
  uint32_t mask; ///< size of the table - 1, a power of two - 1
  uint32_t* used;
  ray_totals* totals;

  TESSERA_HD void operator()(uint64_t i) const {
    const placed_point p = place_point(rules, points + 3 * i, confidence != nullptr ? confidence + i : nullptr);
    // Neighbours in the image mostly share a cell: such runs of a warp are added up before they go to memory. 32 times 255 fits
    // into half a word. Points that do not count come along as runs of their own.
    const uint8_t* c = colours + channels * i;
    uint32_t sums[4] = {p.place[0] | p.place[1] << 16, p.place[2] | 1u << 16, c[0] | static_cast<uint32_t>(c[1]) << 16, c[2]};
    const bool has_sum = add_up_run(p.what == fate::valid ? p.cell : ~uint64_t{0}, sums);
    if (p.what != fate::valid) {
      append(totals->fates[static_cast<uint32_t>(p.what)]);
      return;
    }
    if (!has_sum)
      return;
    const uint64_t name = p.cell + 1, h = p.cell * 0x9e3779b97f4a7c15u;
    uint32_t at = static_cast<uint32_t>(h >> 32 ^ h >> 13) & mask;
    for (;; at = (at + 1) & mask) {
      uint64_t seen = atomic_load(table[at].name);
      if (seen == 0) {
        seen = atomic_replace(table[at].name, uint64_t{0}, name);
        if (seen == 0) {
          used[append(totals->cells)] = at;
          break;
        }
      }
      if (seen == name)
        break;
    }
    const auto spread = [](uint32_t halves) { return (halves & 0xffff) | static_cast<uint64_t>(halves >> 16) << 32; };
    cell& to = table[at];
    atomic_add(to.place_xy, spread(sums[0]));
    atomic_add(to.place_z_count, spread(sums[1]));
    atomic_add(to.red_green, spread(sums[2]));
    atomic_add(to.blue, static_cast<uint64_t>(sums[3]));
  }
};

/// The ray of a cell.
TESSERA_HD ray ray_of(const cell& sum) {
  const auto count = static_cast<uint32_t>(sum.place_z_count >> 32);
  const auto mean = [count](uint64_t of) { return (static_cast<uint32_t>(of) + count / 2) / count; };
  const auto position = [&](int axis, uint64_t of) {
    const auto key = static_cast<uint32_t>(((sum.name - 1) >> 21 * axis) & 0x1fffff);
    return (static_cast<int32_t>(key) - (1 << 20)) * 256 + static_cast<int32_t>(mean(of));
  };
  ray out;
  out.x = position(0, sum.place_xy);
  out.y = position(1, sum.place_xy >> 32);
  out.z = position(2, sum.place_z_count);
  out.r = static_cast<uint8_t>(mean(sum.red_green));
  out.g = static_cast<uint8_t>(mean(sum.red_green >> 32));
  out.b = static_cast<uint8_t>(mean(sum.blue));
  out.points = static_cast<uint8_t>(count < 255 ? count : 255);
  return out;
}

/// Item: an occupied cell. Makes its ray and empties it for the next keyframe.
struct make_ray {
  cell* table;
  const uint32_t* used;
  ray* rays;

  TESSERA_HD void operator()(uint64_t i) const {
    cell& from = table[used[i]];
    rays[i] = ray_of(from);
    from = {};
  }
};

} // namespace tessera::cuda
