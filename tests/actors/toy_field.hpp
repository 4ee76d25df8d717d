#pragma once
// A field so small that its truth is plain: counts of points on a lattice of 8 voxels an edge. It keeps the laws of the real one
// (sums of integers; regions with an apron), costs nothing, and can be told to fail.

#include "actors/ray_functions.hpp"
#include "gpu/backend.hpp"

#include <cmath>
#include <condition_variable>
#include <map>
#include <mutex>
#include <new>
#include <stdexcept>

namespace tessera::toy {

using cell = std::array<int64_t, 3>;

inline cell cell_of(const ray& r, const pose& p) {
  cell out{};
  const std::array<int32_t, 3> end{r.x, r.y, r.z};
  for (size_t i = 0; i < 3; ++i)
    out[i] = end[i] + std::llround(static_cast<double>(p.m[4 * i + 3]) * ray_units_per_voxel);
  return out;
}

inline int32_t region_axis(int64_t units, int64_t edge) {
  return static_cast<int32_t>(std::floor(static_cast<double>(units) / static_cast<double>(edge)));
}

inline int64_t edge_units(const mapping& map) {
  return int64_t{map.region_voxels} * ray_units_per_voxel;
}

inline region_key region_of(const cell& c, int64_t edge) {
  return {region_axis(c[0], edge), region_axis(c[1], edge), region_axis(c[2], edge)};
}

/// One ray a point. A point with x above 1e6 m does not exist for it.
inline std::vector<ray> make(const mapping&, const keyframe_body& body, const pose& p, ray_counts& counts) {
  std::vector<ray> out;
  const auto points = body.points();
  for (size_t i = 0; i + 2 < points.size(); i += 3) {
    if (!std::isfinite(points[i]) || points[i] > 1e6f) {
      ++counts.not_finite;
      continue;
    }
    ++counts.valid;
    ray r;
    r.x = static_cast<int32_t>(std::lround((points[i] - p.m[3]) * ray_units_per_voxel));
    r.y = static_cast<int32_t>(std::lround((points[i + 1] - p.m[7]) * ray_units_per_voxel));
    r.z = static_cast<int32_t>(std::lround((points[i + 2] - p.m[11]) * ray_units_per_voxel));
    r.points = 1;
    out.push_back(r);
  }
  return out;
}

/// Every ray goes to its region and, as an apron, to the next one along x.
inline partition split(const mapping& map, std::span<const ray> rays, const pose& p, uint64_t&) {
  std::map<region_key, std::vector<ray>> by_region;
  for (const auto& r : rays) {
    auto region = region_of(cell_of(r, p), edge_units(map));
    by_region[region].push_back(r);
    ++region.x;
    by_region[region].push_back(r);
  }
  partition out;
  auto all = std::make_shared<std::vector<ray>>();
  for (const auto& [region, part] : by_region) {
    out.parts.push_back({region, static_cast<uint32_t>(all->size()), static_cast<uint32_t>(part.size())});
    all->insert(all->end(), part.begin(), part.end());
  }
  out.batch.rays = std::move(all);
  return out;
}

inline uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// What happens to the field from outside, shared between a test and the backend that the service owns.
struct control {
  std::mutex mutex;
  std::condition_variable changed;
  bool closed = false;         ///< integrate() blocks while set
  uint64_t cells_left = ~0ull; ///< memory: new cells that still fit
  int fail_next = 0;           ///< so many integrate() calls throw
  std::map<region_key, int> running;
  int overlaps = 0; ///< times that two calls of one region ran at once
  uint64_t integrated = 0, extracted = 0;
};

class field final : public backend {
public:
  field(const mapping& map, std::shared_ptr<control> by) : edge_{edge_units(map)}, by_{std::move(by)} {}

  std::string name() const override { return "toy"; }

  void integrate(region_key region, std::span<const ray_job> jobs) override {
    guard in{*by_, region};
    std::unique_lock lock{by_->mutex};
    by_->changed.wait(lock, [&] { return !by_->closed; });
    if (by_->fail_next > 0) {
      --by_->fail_next;
      throw std::runtime_error("the toy device failed");
    }
    auto& cells = fields_[region];
    std::map<cell, int64_t> sums;
    for (const auto& job : jobs)
      for (uint32_t i = job.first; i < job.first + job.count; ++i) {
        const auto& r = (*job.batch.rays)[i];
        sums[cell_of(r, job.world_from_camera)] += job.sign * r.points;
      }
    uint64_t fresh = 0;
    for (const auto& [c, n] : sums)
      fresh += !cells.contains(c);
    if (fresh > by_->cells_left)
      throw std::bad_alloc();
    by_->cells_left -= fresh;
    for (const auto& [c, n] : sums)
      cells[c] += n;
    ++by_->integrated;
  }

  std::shared_ptr<const mesh> extract(region_key region) override {
    guard in{*by_, region};
    std::lock_guard lock{by_->mutex};
    ++by_->extracted;
    auto out = std::make_shared<mesh>();
    for (const auto& [c, n] : fields_[region]) {
      if (n == 0 || !(region_of(c, edge_) == region))
        continue;
      const auto first = static_cast<uint32_t>(out->keys.size());
      for (uint32_t corner = 0; corner < 3; ++corner) {
        for (size_t a = 0; a < 3; ++a) {
          out->positions.push_back(static_cast<float>(c[a]) / ray_units_per_voxel + (corner == a ? 0.1f : 0.f));
          out->normals.push_back(a == 2 ? 1.f : 0.f);
        }
        out->colours.insert(out->colours.end(), 3, static_cast<uint8_t>(n));
        out->keys.push_back(static_cast<uint64_t>(c[0] * 31 + c[1] * 17 + c[2]) * 4 + corner);
        out->indices.push_back(first + corner);
      }
    }
    return out;
  }

  field_stats stats(region_key region) const override {
    guard in{*by_, region};
    std::lock_guard lock{by_->mutex};
    field_stats out;
    auto i = fields_.find(region);
    if (i == fields_.end())
      return out;
    for (const auto& [c, n] : i->second) {
      out.bytes += 32;
      if (n == 0 || !(region_of(c, edge_) == region))
        continue;
      ++out.blocks;
      out.voxels += static_cast<uint64_t>(n);
      uint64_t h = 1;
      for (auto x : c)
        h = mix(h + static_cast<uint64_t>(x) + 0x9e3779b97f4a7c15u);
      out.hash.hi += mix(h + static_cast<uint64_t>(n));
      out.hash.lo += mix(h ^ (static_cast<uint64_t>(n) * 0x9e3779b97f4a7c15u));
    }
    return out;
  }

  void drop(region_key region) override {
    guard in{*by_, region};
    std::lock_guard lock{by_->mutex};
    auto i = fields_.find(region);
    if (i == fields_.end())
      return;
    if (by_->cells_left != ~0ull)
      by_->cells_left += i->second.size();
    fields_.erase(i);
  }

private:
  /// Notices when two calls of one region overlap.
  struct guard {
    guard(control& c, region_key r) : by{c}, region{r} {
      std::lock_guard lock{by.mutex};
      if (++by.running[region] > 1)
        ++by.overlaps;
    }
    ~guard() {
      std::lock_guard lock{by.mutex};
      --by.running[region];
    }
    control& by;
    region_key region;
  };

  int64_t edge_;
  std::shared_ptr<control> by_;
  std::map<region_key, std::map<cell, int64_t>> fields_;
};

/// The hash of a map made without actors.
inline map_hash truth(const mapping& map, const std::vector<keyframe>& frames) {
  field f{map, std::make_shared<control>()};
  std::map<region_key, bool> regions;
  for (const auto& frame : frames) {
    ray_counts counts;
    const auto rays = make(map, *frame.body, frame.world_from_camera, counts);
    uint64_t beyond = 0;
    const auto parts = split(map, rays, frame.world_from_camera, beyond);
    for (const auto& part : parts.parts) {
      const ray_job job{parts.batch, part.first, part.count, frame.world_from_camera, 1, 0, 0};
      f.integrate(part.region, std::span{&job, 1});
      regions[part.region] = true;
    }
  }
  map_hash out;
  for (const auto& [region, used] : regions)
    out += f.stats(region).hash;
  return out;
}

} // namespace tessera::toy
