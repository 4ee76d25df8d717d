#include "gpu/backend.hpp"
#include "gpu/shared/walk.hpp"

#include <algorithm>
#include <map>

namespace tessera {

partition partition_rays(const mapping& map, std::span<const ray> rays, const pose& world_from_camera, uint64_t& beyond) {
  const walk_frame frame = make_walk_frame(world_from_camera.m.data(), map.voxel_m, map.truncation_m);
  const auto edge = static_cast<int32_t>(map.region_voxels);
  struct box {
    int32_t low[3], high[3];
    bool operator==(const box&) const = default;
  };
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
  for (uint32_t i = 0; i < rays.size(); ++i) {
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
        }
  }
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
