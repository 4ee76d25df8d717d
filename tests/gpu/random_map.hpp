#pragma once
// Random keyframes, and a whole map over one backend.

#include "gpu/backend.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <random>
#include <set>
#include <span>
#include <vector>

namespace tessera::test {

struct scan {
  std::vector<ray> rays;
  pose at;
};

/// A rigid pose within a metre of the origin.
inline pose random_pose(std::mt19937& random) {
  std::uniform_real_distribution<float> unit(-1.f, 1.f);
  float q[4] = {unit(random), unit(random), unit(random), unit(random)};
  const float norm = std::sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  for (float& v : q)
    v /= norm;
  const auto [w, x, y, z] = q;
  return {{1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), unit(random), 2 * (x * y + z * w),
           1 - 2 * (x * x + z * z), 2 * (y * z - x * w), unit(random), 2 * (x * z - y * w), 2 * (y * z + x * w),
           1 - 2 * (x * x + y * y), unit(random), 0, 0, 0, 1}};
}

/// A wavy wall before the camera, seen from a pose; perhaps with stray points and some that are not finite.
inline keyframe wall(const pose& at, std::mt19937& random, int points, bool strays) {
  std::uniform_real_distribution<float> unit(-1.f, 1.f);
  auto body = std::make_shared<owned_keyframe_body>();
  const auto& m = at.m;
  for (int i = 0; i < points; ++i) {
    const float u = unit(random), v = unit(random);
    const float c[3] = {u * 1.5f, v * 1.5f, strays && i % 50 == 0 ? 3.f + unit(random) : 2.f + 0.3f * std::sin(3 * u)};
    for (int r = 0; r < 3; ++r)
      body->point_data.push_back(
        strays && i % 97 == 0 ? std::nanf("") : m[4 * r] * c[0] + m[4 * r + 1] * c[1] + m[4 * r + 2] * c[2] + m[4 * r + 3]);
    for (int k = 0; k < 3; ++k)
      body->colour_data.push_back(static_cast<uint8_t>(random()));
  }
  keyframe out;
  out.world_from_camera = at;
  out.body = std::move(body);
  return out;
}

/// A wall with strays from a random pose.
inline keyframe random_keyframe(std::mt19937& random) {
  const auto at = random_pose(random);
  return wall(at, random, 3000, true);
}

inline scan scan_of(const mapping& map, const keyframe& frame) {
  ray_counts counts;
  return {make_rays(map, *frame.body, frame.world_from_camera, counts), frame.world_from_camera};
}

/// A whole map over one backend.
struct world {
  mapping map;
  std::unique_ptr<backend> field = make_cpu_backend(map);
  std::set<region_key> regions;
  explicit world(const mapping& m) : map(m) {}
  void add(const scan& s, int sign = 1) {
    uint64_t beyond = 0;
    const auto cut = partition_rays(map, s.rays, s.at, beyond);
    for (const auto& part : cut.parts) {
      regions.insert(part.region);
      const ray_job job{cut.batch, part.first, part.count, s.at, sign, 0, 0};
      field->integrate(part.region, std::span(&job, 1));
    }
  }
  [[nodiscard]] field_stats stats() const {
    field_stats sum;
    for (const auto& r : regions) {
      const auto s = field->stats(r);
      sum.hash += s.hash;
      sum.blocks += s.blocks;
      sum.voxels += s.voxels;
    }
    return sum;
  }
  [[nodiscard]] std::vector<region_mesh> meshes() const {
    std::vector<region_mesh> out;
    for (const auto& r : regions)
      out.push_back({r, 0, field->extract(r)});
    return out;
  }
};

inline mapping map_of(uint32_t region_voxels) {
  mapping m;
  m.voxel_m = 0.05f;
  m.truncation_m = 0.15f;
  m.region_voxels = region_voxels;
  return m;
}

struct keyframes {
  unsigned seed = std::random_device{}();
  std::mt19937 random{seed};
  std::vector<scan> scans;
  explicit keyframes(size_t count) {
    for (size_t i = 0; i < count; ++i)
      scans.push_back(scan_of(map_of(64), random_keyframe(random)));
  }
};

} // namespace tessera::test
