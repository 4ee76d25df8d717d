#include "actors/map/gatherer.hpp"

#include <algorithm>
#include <array>

namespace tessera {

void gathering::enter_field(const region_key& region, device_id device, const field_stats& field) {
  auto& status = statuses[region];
  status.region = region;
  status.device = device;
  status.field = field;
}

void gathering::enter_surface(region_status said, device_id device) {
  auto& status = statuses[said.region];
  said.field = status.field;
  said.device = device;
  status = said;
}

gathering_ptr gatherer::add(bool of_meshes, uint64_t after) {
  return waiting_.emplace_back(std::make_shared<gathering>(gathering{++numbers_, of_meshes, after}));
}

void gatherer::start(const gathering_ptr& g) {
  ++g->attempt;
  ++g->starts;
  g->statuses.clear();
  g->meshes.clear();
  g->left = 1;
  running_.push_back(g);
}

void gatherer::stop(const gathering_ptr& g) {
  ++g->attempt;
  std::erase(running_, gathering_ptr{g});
}

void gatherer::end(gathering& g) {
  std::erase_if(running_, [&](const gathering_ptr& other) { return other.get() == &g; });
  std::sort(g.meshes.begin(), g.meshes.end(), [](const auto& x, const auto& y) { return x.region < y.region; });
}

map_status sum_of(const std::map<region_key, region_status>& regions, const map_settings& map) {
  map_status out;
  out.voxel_m = map.voxel_m;
  out.truncation_m = map.truncation_m;
  out.region_voxels = map.region_voxels;
  const auto edge = map.voxel_m * static_cast<float>(map.region_voxels);
  for (const auto& [at, r] : regions) {
    out.field.hash += r.field.hash;
    out.field.blocks += r.field.blocks;
    out.field.voxels += r.field.voxels;
    out.field.bytes += r.field.bytes;
    out.vertices += r.vertices;
    out.triangles += r.triangles;
    if (r.field.blocks == 0)
      continue;
    const std::array<int32_t, 3> key{at.x, at.y, at.z};
    for (size_t i = 0; i < 3; ++i) {
      const auto low = static_cast<float>(key[i]) * edge;
      const auto high = low + edge;
      out.bounds[i] = out.regions == 0 ? low : std::min(out.bounds[i], low);
      out.bounds[i + 3] = out.regions == 0 ? high : std::max(out.bounds[i + 3], high);
    }
    ++out.regions;
  }
  return out;
}

} // namespace tessera
