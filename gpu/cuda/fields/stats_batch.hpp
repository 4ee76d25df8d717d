#pragma once

#include "gpu/cuda/fields/region_store.hpp"

namespace tessera::cuda {

/// Hashes many regions at once. Threads: one.
template <device_like Device>
class stats_batch {
public:
  using stream = typename Device::stream;
  stats_batch(Device& device, stream& work, const map_settings& map, region_store<Device>& store)
    : map_(map), stream_(work), store_(store), any_(device), sums_(device), sums_down_(device) {}

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
        out[i] = stats_of_evicted(keys[i], region->evicted);
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
  field_stats stats_of_evicted(region_key key, const region_image& evicted) const {
    const auto region_voxels = static_cast<int32_t>(map_.region_voxels);
    const int32_t origin[3] = {key.x * region_voxels, key.y * region_voxels, key.z * region_voxels};
    const auto edge = map_.region_voxels / 8 + 1;
    field_stats out;
    out.bytes = evicted.bytes();
    for (size_t b = 0; b < evicted.blocks.size(); ++b) {
      const uint32_t e = evicted.blocks[b], bx = e % edge, by = e / edge % edge, bz = e / edge / edge;
      if (bx == edge - 1 || by == edge - 1 || bz == edge - 1)
        continue;
      bool any = false;
      for (int32_t v = 0; v < 512; ++v) {
        const voxel_words& w = evicted.voxels[b * 512 + static_cast<size_t>(v)];
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

  map_settings map_;
  stream& stream_;
  region_store<Device>& store_;
  device_buffer<Device, uint32_t> any_;
  device_buffer<Device, region_sums> sums_;
  pinned_buffer<Device, region_sums> sums_down_;
};

} // namespace tessera::cuda
