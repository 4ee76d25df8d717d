#pragma once
// Random keyframes, and a whole map over one device.

#include "gpu/fields.hpp"
#include "gpu/map/weld.hpp"
#include "gpu/rays.hpp"
#include "messages/keyframe.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
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

/// The same pose with a scale.
inline pose scaled(pose at, float by) {
  for (size_t r = 0; r < 3; ++r)
    for (size_t c = 0; c < 3; ++c)
      at.m[4 * r + c] *= by;
  return at;
}

/// A pose with a scale of 1/3 to 3.
inline pose random_similarity(std::mt19937& random) {
  const auto at = random_pose(random);
  return scaled(at, std::pow(3.f, std::uniform_real_distribution<float>(-1.f, 1.f)(random)));
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

inline scan scan_of(const map_settings& map, const keyframe& frame) {
  ray_counts counts;
  return {make_rays(map, *frame.body, frame.world_from_camera, counts), frame.world_from_camera};
}

/// What takes a scan, or takes it away.
inline take_request request_of(const scan& s, int sign = 1) {
  take_request out;
  out.rays.rays = std::make_shared<const std::vector<ray>>(s.rays);
  out.world_from_camera = s.at;
  out.sign = sign;
  return out;
}

/// The same for a keyframe's points.
inline take_request request_of(const keyframe& frame, int sign = 1) {
  take_request out;
  out.body = frame.body;
  out.world_from_camera = frame.world_from_camera;
  out.sign = sign;
  return out;
}

/// A whole map over one device; the CPU, if no other is given.
struct world {
  map_settings map;
  std::shared_ptr<async_fields> field;
  std::set<region_key> regions;
  explicit world(const map_settings& m, std::shared_ptr<async_fields> on = {})
    : map(m), field(on ? std::move(on) : make_cpu_fields(m, {.threads = 0})) {}
  take_report add(take_request what) {
    auto report = take_and_wait(*field, std::move(what));
    regions.insert(report.regions.begin(), report.regions.end());
    return report;
  }
  take_report add(const scan& s, int sign = 1) { return add(request_of(s, sign)); }
  [[nodiscard]] field_stats stats() const {
    field_stats sum;
    for (const auto& r : regions) {
      const auto s = stats_and_wait(*field, r);
      sum.hash += s.hash;
      sum.blocks += s.blocks;
      sum.voxels += s.voxels;
      sum.bytes += s.bytes;
    }
    return sum;
  }
  [[nodiscard]] std::vector<region_mesh> meshes() const {
    std::vector<region_mesh> out;
    for (const auto& r : regions)
      out.push_back({r, 0, extract_and_wait(*field, r)});
    return out;
  }
};

/// Of these regions the one that holds most: a ray's box may touch regions to which it does not write.
template <class Regions>
region_key fullest_of(async_fields& fields, const Regions& regions) {
  return *std::max_element(regions.begin(), regions.end(), [&](region_key a, region_key b) {
    return stats_and_wait(fields, a).voxels < stats_and_wait(fields, b).voxels;
  });
}

inline map_settings map_of(uint32_t region_voxels) {
  map_settings m;
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
