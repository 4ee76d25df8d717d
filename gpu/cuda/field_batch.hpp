#pragma once

#include "gpu/cuda/field_kernels.hpp"
#include "gpu/cuda/region_store.hpp"

#include <unordered_map>

namespace tessera::cuda {

/// Jobs for one region.
struct region_jobs {
  region_key region;
  std::span<const ray_job> jobs;
};

/// Integrates and hashes many regions at once. Threads: one.
template <device_like Device>
class field_batch {
public:
  using stream = typename Device::stream;
  field_batch(Device& device, stream& work, const mapping& map, region_store<Device>& store)
    : map_(map), stream_(work), store_(store), rays_(device), rays_up_(device), jobs_(device), jobs_up_(device), walks_(device),
      touches_(device), numbers_(device), state_(device, 1), state_down_(device, 1), any_(device), sums_(device),
      sums_down_(device) {}

  /// Applies all jobs. Throws std::bad_alloc if there is no room for the blocks that they need; then nothing has changed.
  void integrate(std::span<const region_jobs> work, uint64_t batch) {
    std::vector<region_key> keys;
    for (const region_jobs& w : work)
      keys.push_back(w.region);
    std::sort(keys.begin(), keys.end());
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    store_.bring(keys, batch);
    const uint64_t items = upload(work);
    if (items == 0)
      return;
    while (!try_once(items))
      store_.make_more_room(state_down_[0].fresh, {keys.begin(), keys.end()});
    for (const region_key key : keys)
      store_.find(key)->changed = true;
  }

  /// Hash and counts of a region each.
  std::vector<field_stats> stats(const std::vector<region_key>& keys) {
    std::vector<field_stats> out(keys.size());
    std::vector<region_key> here;
    std::vector<size_t> place;
    for (size_t i = 0; i < keys.size(); ++i) {
      const region_record* region = store_.find(keys[i]);
      if (region == nullptr)
        continue;
      if (region->slot == region_record::nowhere) {
        out[i] = stats_away(keys[i], region->away);
      } else {
        here.push_back(keys[i]);
        place.push_back(i);
      }
    }
    if (here.empty())
      return out;
    const uint32_t blocks = store_.list(here);
    any_.ensure(blocks);
    sums_.ensure(here.size());
    sums_down_.ensure(here.size());
    stream_.fill(any_.data(), blocks * sizeof(uint32_t), 0);
    stream_.fill(sums_.data(), here.size() * sizeof(region_sums), 0);
    stream_.launch(size_t{blocks} * 8, add_digests{store_.view(), store_.listing(), any_.data(), sums_.data()});
    stream_.download(sums_down_.data(), sums_.data(), here.size() * sizeof(region_sums));
    stream_.wait();
    for (size_t i = 0; i < here.size(); ++i) {
      const region_sums& s = sums_down_[i];
      out[place[i]] = {{s.hi, s.lo}, s.blocks, s.voxels, s.held * 512 * sizeof(voxel_words)};
    }
    return out;
  }

private:
  /// Copies rays and jobs to the device: of each vector of rays that jobs share, one part that holds all that they need. Returns
  /// the number of rays of all jobs.
  uint64_t upload(std::span<const region_jobs> work) {
    struct part {
      uint32_t first = UINT32_MAX, end = 0, at = 0;
    };
    std::unordered_map<const void*, part> parts;
    size_t job_count = 0;
    for (const region_jobs& w : work)
      for (const ray_job& job : w.jobs)
        if (job.count != 0) {
          part& p = parts[job.batch.rays.get()];
          p.first = std::min(p.first, job.first);
          p.end = std::max(p.end, job.first + job.count);
          ++job_count;
        }
    size_t ray_count = 0;
    for (auto& [rays, p] : parts) {
      p.at = static_cast<uint32_t>(ray_count);
      ray_count += p.end - p.first;
    }
    rays_.ensure(ray_count);
    rays_up_.ensure(ray_count);
    jobs_.ensure(job_count);
    jobs_up_.ensure(job_count);
    for (const auto& [rays, p] : parts)
      std::copy_n(static_cast<const std::vector<ray>*>(rays)->data() + p.first, p.end - p.first, rays_up_.data() + p.at);
    uint64_t items = 0;
    size_t n = 0;
    for (const region_jobs& w : work) {
      const uint32_t slot = store_.slot_of(w.region);
      for (const ray_job& job : w.jobs) {
        if (job.count == 0)
          continue;
        const part& p = parts[job.batch.rays.get()];
        jobs_up_[n++] = {make_walk_frame(job.world_from_camera.m.data(), map_.voxel_m, map_.truncation_m), slot,
                         static_cast<uint32_t>(items), p.at + job.first - p.first, job.sign < 0 ? -1 : 1};
        items += job.count;
      }
    }
    if (items > UINT32_MAX)
      throw std::invalid_argument("more than 2^32 rays in one batch");
    job_count_ = static_cast<uint32_t>(job_count);
    stream_.upload(rays_.data(), rays_up_.data(), ray_count * sizeof(ray));
    stream_.upload(jobs_.data(), jobs_up_.data(), job_count * sizeof(device_job));
    return items;
  }

  /// False if blocks are wanting; nothing is written then.
  bool try_once(uint64_t items) {
    walks_.ensure(items);
    touches_.ensure(items);
    numbers_.ensure(items);
    const field_view field = store_.view();
    const touch_list touches{walks_.data(), touches_.data(), static_cast<uint32_t>(items)};
    batch_state* state = state_.data();
    stream_.fill(state, sizeof(batch_state), 0);
    stream_.launch(items, walk_jobs{touches, jobs_.data(), job_count_, rays_.data(), numbers_.data()});
    stream_.launch(items * touch_lanes, make_blocks{field, jobs_up_[0].frame, touches, state});
    stream_.launch(items * touch_lanes, add_touches{field, jobs_up_[0].frame, touches, rays_.data(), numbers_.data(), state});
    stream_.download(state_down_.data(), state, sizeof(batch_state));
    stream_.wait();
    store_.set_free_blocks(state_down_[0].free_left);
    return state_down_[0].wanting == 0;
  }

  field_stats stats_away(region_key key, const region_away& away) const {
    const auto region_voxels = static_cast<int32_t>(map_.region_voxels);
    const int32_t origin[3] = {key.x * region_voxels, key.y * region_voxels, key.z * region_voxels};
    const auto edge = map_.region_voxels / 8 + 1;
    field_stats out;
    out.bytes = away.bytes();
    for (size_t b = 0; b < away.entries.size(); ++b) {
      const uint32_t e = away.entries[b], bx = e % edge, by = e / edge % edge, bz = e / edge / edge;
      if (bx == edge - 1 || by == edge - 1 || bz == edge - 1)
        continue;
      bool any = false;
      for (int32_t v = 0; v < 512; ++v) {
        const voxel_words& w = away.words[b * 512 + static_cast<size_t>(v)];
        if ((w.w0 | w.w1 | w.w2) == 0)
          continue;
        any = true;
        out.voxels += weight_sum(w.w1) != 0;
        const digest128 d = voxel_digest(origin[0] + static_cast<int32_t>(bx * 8) + (v & 7),
                                         origin[1] + static_cast<int32_t>(by * 8) + (v >> 3 & 7),
                                         origin[2] + static_cast<int32_t>(bz * 8) + (v >> 6), w.w0, w.w1, w.w2);
        out.hash += {d.hi, d.lo};
      }
      out.blocks += any;
    }
    return out;
  }

  mapping map_;
  stream& stream_;
  region_store<Device>& store_;
  device_buffer<Device, ray> rays_;
  pinned_buffer<Device, ray> rays_up_;
  device_buffer<Device, device_job> jobs_;
  pinned_buffer<Device, device_job> jobs_up_;
  uint32_t job_count_ = 0;
  device_buffer<Device, ray_walk> walks_;
  device_buffer<Device, touch> touches_;
  device_buffer<Device, uint32_t> numbers_;
  device_buffer<Device, batch_state> state_;
  pinned_buffer<Device, batch_state> state_down_;
  device_buffer<Device, uint32_t> any_;
  device_buffer<Device, region_sums> sums_;
  pinned_buffer<Device, region_sums> sums_down_;
};

} // namespace tessera::cuda
