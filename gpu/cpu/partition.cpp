#include "gpu/bounds.hpp"
#include "gpu/cpu/clones.hpp"
#include "gpu/rays.hpp"
#include "gpu/shared/walk.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <string>

namespace tessera {

namespace {

/// The voxel that a ray ends in; out of every region's reach if the ray might write nothing.
struct end_voxel {
  int32_t x, y, z;
};

/// Of regions beyond the bound only so many are counted, so that to refuse costs little.
constexpr size_t most_counted = 8 * size_t{most_keyframe_regions};

std::string too_many_regions(const map_settings& map, uint64_t regions, bool at_least) {
  char text[300];
  std::snprintf(
    text, sizeof text,
    "the keyframe touches %s%llu regions of %u voxels an edge (%g m), at most %u can be: its points lie far apart for a "
    "voxel size of %g m",
    at_least ? "at least " : "", static_cast<unsigned long long>(regions), map.region_voxels,
    static_cast<double>(map.voxel_m) * map.region_voxels, most_keyframe_regions, static_cast<double>(map.voxel_m));
  return text;
}

TESSERA_CLONES void find_ends(const walk_frame& f, std::span<const ray> rays, std::span<end_voxel> out) {
  constexpr double limit = lattice::map_limit - 64;
  for (size_t i = 0; i < rays.size(); ++i) {
    const double px = rays[i].x / 256.0, py = rays[i].y / 256.0, pz = rays[i].z / 256.0;
    const double dx = f.linear[0] * px + f.linear[1] * py + f.linear[2] * pz;
    const double dy = f.linear[3] * px + f.linear[4] * py + f.linear[5] * pz;
    const double dz = f.linear[6] * px + f.linear[7] * py + f.linear[8] * pz;
    const double x = dx + f.origin[0], y = dy + f.origin[1], z = dz + f.origin[2];
    const bool plain
      = all_of(dx * dx + dy * dy + dz * dz > 1.0, std::fabs(x) < limit, std::fabs(y) < limit, std::fabs(z) < limit);
    out[i].x = plain ? static_cast<int32_t>(std::floor(plain ? x : 0.0)) : INT32_MAX;
    out[i].y = static_cast<int32_t>(std::floor(plain ? y : 0.0));
    out[i].z = static_cast<int32_t>(std::floor(plain ? z : 0.0));
  }
}

} // namespace

keyframe_too_large::keyframe_too_large(const map_settings& map, uint64_t regions, bool at_least)
  : std::runtime_error(too_many_regions(map, regions, at_least)) {}

partition partition_rays(const map_settings& map, std::span<const ray> rays, const pose& world_from_camera, uint64_t& beyond) {
  const walk_frame frame = make_walk_frame(world_from_camera.m.data(), map.voxel_m, map.truncation_m);
  const auto edge = static_cast<int32_t>(map.region_voxels);
  // Which regions each ray touches; nearly always one, and the same one as the ray before.
  std::map<region_key, uint32_t> slots;
  std::vector<region_key> keys;
  std::vector<uint32_t> counts;
  std::vector<std::pair<uint32_t, uint32_t>> touches; // slot, ray
  touches.reserve(rays.size() + rays.size() / 4);
  beyond = 0;
  region_key last_key{INT32_MAX, 0, 0};
  uint32_t last_slot = 0;
  const auto slot_of = [&](region_key key) {
    if (key == last_key)
      return last_slot;
    const auto [at, fresh] = slots.try_emplace(key, static_cast<uint32_t>(keys.size()));
    if (fresh) {
      keys.push_back(key);
      counts.push_back(0);
    }
    last_key = key;
    last_slot = at->second;
    return last_slot;
  };
  // Most rays end so deep within the region of the ray before that they reach no other one: no need to look
  // closer.
  std::vector<end_voxel> ends(rays.size());
  find_ends(frame, rays, ends);
  const auto reach = static_cast<int32_t>(std::ceil(frame.truncation)) + 2; // of a walk from its end point on, rounding included
  int32_t inner_low[3] = {0, 0, 0}, inner_high[3] = {-1, -1, -1};
  for (uint32_t i = 0; i < rays.size() && keys.size() < most_counted; ++i) {
    const end_voxel& e = ends[i];
    if (e.x >= inner_low[0] && e.x <= inner_high[0] && e.y >= inner_low[1] && e.y <= inner_high[1] && e.z >= inner_low[2]
        && e.z <= inner_high[2]) {
      ++counts[last_slot];
      touches.emplace_back(last_slot, i);
      continue;
    }
    const ray& r = rays[i];
    ray_walk walk;
    if (!setup_walk(frame, r.x, r.y, r.z, r.points, walk)) {
      ++beyond;
      continue;
    }
    int32_t low[3], high[3];
    walk_box(walk, low, high);
    for (int axis = 0; axis < 3; ++axis) {
      low[axis] = lattice::floor_div(low[axis] - lattice::apron, edge);
      high[axis] = lattice::floor_div(high[axis], edge);
    }
    for (int32_t z = low[2]; z <= high[2]; ++z)
      for (int32_t y = low[1]; y <= high[1]; ++y)
        for (int32_t x = low[0]; x <= high[0]; ++x) {
          const uint32_t slot = slot_of({x, y, z});
          ++counts[slot];
          touches.emplace_back(slot, i);
          const int32_t first[3] = {x * edge, y * edge, z * edge};
          for (int axis = 0; axis < 3; ++axis) {
            inner_low[axis] = first[axis] + lattice::apron + reach;
            inner_high[axis] = first[axis] + edge - 1 - reach;
          }
        }
  }
  if (keys.size() > most_keyframe_regions)
    throw keyframe_too_large(map, keys.size(), keys.size() >= most_counted);
  // Counting sort by region, regions in the order of their keys.
  partition out;
  std::vector<uint32_t> next(keys.size());
  uint32_t at = 0;
  for (const auto& [key, slot] : slots) {
    out.parts.push_back({key, at, counts[slot]});
    next[slot] = at;
    at += counts[slot];
  }
  std::vector<ray> sorted(at);
  for (const auto& [slot, index] : touches)
    sorted[next[slot]++] = rays[index];
  out.batch.rays = std::make_shared<const std::vector<ray>>(std::move(sorted));
  return out;
}

} // namespace tessera
