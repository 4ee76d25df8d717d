#pragma once
// A field so small that its truth is plain: counts of points on a lattice of 8 voxels an edge. It keeps the laws of the real one
// (sums of integers; regions with an apron), costs nothing, and can be told to fail.

#include "gpu/bounds.hpp"
#include "gpu/fields.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <new>
#include <random>
#include <set>
#include <stdexcept>

namespace tessera::toy {

using cell = std::array<int64_t, 3>;

/// Of a pose it knows scale and translation.
inline float scale_of(const pose& p) {
  return static_cast<float>(std::sqrt(squared_scale(p)));
}

inline cell cell_of(const ray& r, const pose& p) {
  cell out{};
  const std::array<int32_t, 3> end{r.x, r.y, r.z};
  for (size_t i = 0; i < 3; ++i)
    out[i] = std::llround(end[i] * static_cast<double>(scale_of(p)))
             + std::llround(static_cast<double>(p.m[4 * i + 3]) * ray_units_per_voxel);
  return out;
}

inline int32_t region_axis(int64_t units, int64_t edge) {
  return static_cast<int32_t>(std::floor(static_cast<double>(units) / static_cast<double>(edge)));
}

inline int64_t edge_units(const map_settings& map) {
  return int64_t{map.region_voxels} * ray_units_per_voxel;
}

inline region_key region_of(const cell& c, int64_t edge) {
  return {region_axis(c[0], edge), region_axis(c[1], edge), region_axis(c[2], edge)};
}

/// One ray a point. A point with x above 1e6 m does not exist for it.
inline std::vector<ray> make(const map_settings&, const keyframe_body& body, const pose& p, ray_counts& counts) {
  std::vector<ray> out;
  const auto points = body.points();
  const auto units = ray_units_per_voxel / scale_of(p);
  for (size_t i = 0; i + 2 < points.size(); i += 3) {
    if (!std::isfinite(points[i]) || points[i] > 1e6f) {
      ++counts.not_finite;
      continue;
    }
    ++counts.valid;
    ray r;
    r.x = static_cast<int32_t>(std::lround((points[i] - p.m[3]) * units));
    r.y = static_cast<int32_t>(std::lround((points[i + 1] - p.m[7]) * units));
    r.z = static_cast<int32_t>(std::lround((points[i + 2] - p.m[11]) * units));
    r.points = 1;
    out.push_back(r);
  }
  return out;
}

/// Every ray goes to its region and, as an apron, to the next one along x.
inline std::map<region_key, std::vector<ray>> split(const map_settings& map, const std::vector<ray>& rays, const pose& p) {
  std::map<region_key, std::vector<ray>> out;
  for (const auto& r : rays) {
    auto region = region_of(cell_of(r, p), edge_units(map));
    out[region].push_back(r);
    ++region.x;
    out[region].push_back(r);
  }
  return out;
}

/// The regions that a keyframe's points touch.
inline std::vector<region_key> regions_of(const map_settings& map, const keyframe& frame) {
  ray_counts counts;
  std::vector<region_key> out;
  for (const auto& [region, rays] : split(map, make(map, *frame.body, frame.world_from_camera, counts), frame.world_from_camera))
    out.push_back(region);
  return out;
}

inline uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// What happens to the field from outside, shared between a test and the fields that the service owns.
struct control {
  std::mutex mutex;
  std::condition_variable changed;
  bool closed = false;                    ///< take() blocks while set
  uint64_t cells_left = ~0ull;            ///< memory: new cells that still fit
  int fail_next = 0;                      ///< so many calls of take() throw
  uint64_t integrated = 0, extracted = 0; ///< parts of keyframes; regions
  uint64_t keyframes = 0;                 ///< whose points were made rays
  uint64_t exported = 0, added = 0;       ///< images of regions
  std::vector<take_request> asked;        ///< without bodies
  /// Called before a keyframe is taken, or its rays made; what it throws is the answer.
  std::function<void(const keyframe_body*, const std::vector<ray>&)> before;
  /// Called before a region is meshed, with the counts of its cells; what it throws is the answer.
  std::function<void(const std::map<cell, int64_t>&)> before_mesh;
  int peer_rays_held = 0;     ///< batches of rays for peers that are not let go of
  uint64_t from_peers = 0;    ///< keyframes whose rays another field made
  bool room_for_peers = true; ///< else there is no memory for their rays
  bool closed_early = false;  ///< the field went before the rays that it had made for its peers
  bool shuffles = false;      ///< rays come in another order each time
  bool broken = false;        ///< everything that is asked fails from now on
};

/// Rays that touch regions of another field. Their maker must not be broken when they are read.
class toy_peer_rays final : public peer_rays {
public:
  toy_peer_rays(std::shared_ptr<control> maker, std::vector<ray> what) : rays{std::move(what)}, maker_{std::move(maker)} {
    ++maker_->peer_rays_held; // whose mutex is held
  }
  ~toy_peer_rays() override {
    const std::lock_guard lock{maker_->mutex};
    --maker_->peer_rays_held;
  }
  [[nodiscard]] size_t size() const override { return rays.size(); }
  [[nodiscard]] bool lost() const { return maker_->broken; }
  const std::vector<ray> rays;

private:
  std::shared_ptr<control> maker_;
};

/// The fields of a device. It does what it is asked at once, and answers at once or when the test says so, in whatever thread.
class field final : public async_fields {
public:
  field(const map_settings& map, std::shared_ptr<control> steered, std::string name = "toy")
    : by{std::move(steered)}, map_{map}, name_{std::move(name)} {}

  ~field() override {
    const std::lock_guard lock{by->mutex};
    by->closed_early = by->peer_rays_held != 0;
  }

  const std::shared_ptr<control> by;
  std::atomic<bool> holds{false}; ///< answers wait for release()

  /// Gives the answers that were held; answers how many.
  size_t release() {
    std::vector<std::function<void()>> now;
    {
      const std::lock_guard lock{by->mutex};
      now.swap(held_);
    }
    for (const auto& answer : now)
      answer();
    return now.size();
  }

  [[nodiscard]] std::string name() const override { return name_; }
  void take(take_request what, take_done answer) override {
    take_report out;
    rays_for_peers for_peers;
    const auto failure = attempt([&] { out = taken(what, for_peers); });
    what.from_peer = nullptr;
    tell([=, to_peers = failure ? nullptr : std::move(what.to_peers), for_peers = std::move(for_peers),
          answer = std::move(answer)]() mutable {
      if (to_peers)
        to_peers(std::move(for_peers));
      answer(out, failure);
    });
  }
  void rays(std::shared_ptr<const keyframe_body> body, const pose& at, rays_done answer) override {
    std::vector<ray> out;
    ray_counts counts;
    const auto failure = attempt([&] { out = made(*body, at, counts); });
    tell([=, answer = std::move(answer)] { answer(out, counts, failure); });
  }
  void extract(region_key region, mesh_done answer) override {
    std::shared_ptr<const mesh> out;
    const auto failure = attempt([&] { out = mesh_of(region); });
    tell([=, answer = std::move(answer)] { answer(out, failure); });
  }
  void stats(region_key region, stats_done answer) override {
    field_stats out;
    const auto failure = attempt([&] { out = count(region); });
    tell([=, answer = std::move(answer)] { answer(out, failure); });
  }
  void drop(region_key region, done answer) override {
    const auto failure = attempt([&] { forget(region); });
    tell([=, answer = std::move(answer)] { answer(failure); });
  }
  void clear(done answer) override {
    const auto failure = attempt([&] {
      while (!fields_.empty())
        forget(fields_.begin()->first);
    });
    tell([=, answer = std::move(answer)] { answer(failure); });
  }
  /// A cell in each voxel, the last ones empty.
  void export_region(region_key region, image_done answer) override {
    region_image out;
    const auto failure = attempt([&] { out = image_of(region); });
    tell([=, answer = std::move(answer)] { answer(out, failure); });
  }
  void import_region(region_key, region_image, done answer) override {
    answer(std::make_exception_ptr(std::logic_error("a toy")));
  }
  void add_region(region_key region, region_image image, done answer) override {
    const auto failure = attempt([&] { add(region, image); });
    tell([=, answer = std::move(answer)] { answer(failure); });
  }
  [[nodiscard]] memory_status memory() const override {
    memory_status out;
    out.has_pool = true;
    out.blocks = 1000;
    out.free_blocks = 900;
    out.regions_here = 7;
    out.regions_evicted = 2;
    out.evicted_bytes = 4096;
    out.evictions = 5;
    out.page_ins = 3;
    return out;
  }
  [[nodiscard]] std::shared_ptr<const keyframe_body> pin(const keyframe_body&) override { throw std::bad_alloc(); }
  void break_down(breakage) override { by->broken = true; }

  /// Hash and counts of a region, by the test itself.
  [[nodiscard]] field_stats count(region_key region) const {
    field_stats out;
    auto i = fields_.find(region);
    if (i == fields_.end())
      return out;
    for (const auto& [c, n] : i->second) {
      out.bytes += 32;
      if (n == 0 || !(region_of(c, edge_units(map_)) == region))
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

private:
  template <class F>
  std::exception_ptr attempt(F work) {
    std::unique_lock lock{by->mutex};
    try {
      if (by->broken)
        throw std::runtime_error("the toy device is broken");
      by->changed.wait(lock, [&] { return !by->closed; });
      work();
      return nullptr;
    } catch (...) {
      return std::current_exception();
    }
  }
  void tell(std::function<void()> answer) {
    if (!holds)
      return answer();
    const std::lock_guard lock{by->mutex};
    held_.push_back(std::move(answer));
  }

  std::vector<ray> made(const keyframe_body& body, const pose& at, ray_counts& counts) {
    if (by->before)
      by->before(&body, {});
    if (auto torn = body.torn(); !torn.empty())
      throw torn_keyframe(torn);
    ++by->keyframes;
    auto out = make(map_, body, at, counts);
    if (by->shuffles)
      std::shuffle(out.begin(), out.end(), random_);
    return out;
  }

  take_report taken(const take_request& what, rays_for_peers& for_peers) {
    take_report out;
    by->asked.push_back(what);
    by->asked.back().body = nullptr;
    by->asked.back().from_peer = nullptr;
    by->asked.back().to_peers = nullptr;
    if (by->fail_next > 0) {
      --by->fail_next;
      throw std::runtime_error("the toy device failed");
    }
    const auto* from = dynamic_cast<const toy_peer_rays*>(what.from_peer.get());
    if (from != nullptr && from->lost())
      throw lost_rays("the toy device that made the rays is broken");
    by->from_peers += from != nullptr;
    if (!what.body && by->before)
      by->before(nullptr, from != nullptr ? from->rays : *what.rays.rays);
    const auto rays = what.body         ? made(*what.body, what.world_from_camera, out.counts)
                      : from != nullptr ? from->rays
                                        : *what.rays.rays;
    out.rays = from != nullptr ? 0 : rays.size();
    if (what.keep_rays)
      out.kept = rays;
    std::map<region_key, std::map<cell, int64_t>> sums;
    for (const auto& [region, part] : split(map_, rays, what.world_from_camera))
      if (owner_of(region, what.share) == what.share.index
          && (what.only.empty() || std::binary_search(what.only.begin(), what.only.end(), region)))
        for (const auto& r : part)
          sums[region][cell_of(r, what.world_from_camera)] += what.sign * r.points;
    if (what.to_peers)
      for_peers = for_each_peer(rays, what);
    uint64_t fresh = 0;
    for (const auto& [region, cells] : sums)
      for (const auto& [c, n] : cells)
        fresh += !fields_[region].contains(c);
    if (fresh > by->cells_left)
      throw no_room("there is no cell left");
    by->cells_left -= by->cells_left != ~0ull ? fresh : 0;
    for (const auto& [region, cells] : sums) {
      for (const auto& [c, n] : cells)
        fields_[region][c] += n;
      out.regions.push_back(region);
      ++by->integrated;
    }
    return out;
  }

  rays_for_peers for_each_peer(const std::vector<ray>& rays, const take_request& what) {
    if (!by->room_for_peers)
      throw std::bad_alloc();
    std::vector<std::vector<ray>> theirs(what.share.count);
    for (const auto& r : rays) {
      std::set<uint32_t> owners;
      for (const auto& [region, part] : split(map_, {r}, what.world_from_camera))
        owners.insert(owner_of(region, what.share));
      for (const auto i : owners)
        theirs[i].push_back(r);
    }
    rays_for_peers out(what.share.count);
    for (uint32_t i = 0; i < out.size(); ++i)
      if (i != what.share.index && (what.share.lost >> i & 1) == 0)
        out[i] = std::make_shared<toy_peer_rays>(by, std::move(theirs[i]));
    return out;
  }

  std::shared_ptr<const mesh> mesh_of(region_key region) {
    ++by->extracted;
    if (by->before_mesh)
      by->before_mesh(fields_[region]);
    auto out = std::make_shared<mesh>();
    for (const auto& [c, n] : fields_[region]) {
      if (n == 0 || !(region_of(c, edge_units(map_)) == region))
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

  region_image image_of(region_key region) {
    ++by->exported;
    region_image out;
    if (const auto i = fields_.find(region); i != fields_.end())
      for (const auto& [c, n] : i->second)
        if (n != 0)
          out.voxels.push_back({static_cast<uint64_t>(c[0]) << 32 | static_cast<uint32_t>(c[1]), static_cast<uint64_t>(c[2]),
                                static_cast<uint64_t>(n)});
    while (out.voxels.size() % 512 != 0)
      out.voxels.emplace_back();
    for (size_t i = 0; i < out.voxels.size() / 512; ++i)
      out.blocks.push_back(static_cast<uint32_t>(i));
    return out;
  }

  void add(region_key region, const region_image& image) {
    if (by->fail_next > 0) {
      --by->fail_next;
      throw std::runtime_error("the toy device failed");
    }
    std::map<cell, int64_t> sums;
    uint64_t fresh = 0;
    for (const auto& v : image.voxels)
      if (v.w2 != 0)
        sums[{static_cast<int32_t>(v.w0 >> 32), static_cast<int32_t>(v.w0), static_cast<int64_t>(v.w1)}]
          += static_cast<int64_t>(v.w2);
    for (const auto& [c, n] : sums)
      fresh += !fields_[region].contains(c);
    if (fresh > by->cells_left)
      throw no_room("there is no cell left");
    by->cells_left -= by->cells_left != ~0ull ? fresh : 0;
    for (const auto& [c, n] : sums)
      fields_[region][c] += n;
    ++by->added;
  }

  void forget(region_key region) {
    auto i = fields_.find(region);
    if (i == fields_.end())
      return;
    if (by->cells_left != ~0ull)
      by->cells_left += i->second.size();
    fields_.erase(i);
  }

  map_settings map_;
  std::string name_;
  std::map<region_key, std::map<cell, int64_t>> fields_;
  std::vector<std::function<void()>> held_;
  std::mt19937 random_{5};
};

/// The hash of a map made without actors.
inline map_hash truth(const map_settings& map, const std::vector<keyframe>& frames) {
  field f{map, std::make_shared<control>()};
  std::set<region_key> regions;
  for (const auto& frame : frames) {
    take_request what;
    what.body = frame.body;
    what.world_from_camera = frame.world_from_camera;
    f.take(what, [&](const take_report& report, const std::exception_ptr&) {
      regions.insert(report.regions.begin(), report.regions.end());
    });
  }
  map_hash out;
  for (const auto& region : regions)
    out += f.count(region).hash;
  return out;
}

} // namespace tessera::toy
