#pragma once
// Rays into the voxels of regions (docs/field.md, "Integrate", "Hash"), and the tables and lists that voxels are found by.

#include "gpu/cuda/atomics.hpp"
#include "gpu/shared/digest.hpp"
#include "gpu/shared/walk.hpp"
#include "messages/ray.hpp"

#include <cstdint>

namespace tessera::cuda {

/// Entries of a region's table: no block, a block that is about to be made, or else the number of a block + 1.
inline constexpr uint32_t no_block = 0, wanted_block = UINT32_MAX;

/// The fields of a device: all regions share one pool of blocks. A region has a slot, and by that a table of its blocks, x
/// fastest, apron included.
struct field_view {
  uint32_t* tables;
  voxel_words* words;  ///< 512 for each block of the pool
  uint32_t* free;      ///< a stack of unused blocks
  uint32_t edge;       ///< blocks of a table along an axis
  uint32_t table_size; ///< edge^3
  int32_t reach;       ///< voxels that a region keeps along an axis

  [[nodiscard]] TESSERA_HD uint32_t entry_of(int32_t x, int32_t y, int32_t z) const {
    return (static_cast<uint32_t>(z >> 3) * edge + static_cast<uint32_t>(y >> 3)) * edge + static_cast<uint32_t>(x >> 3);
  }
};

/// One keyframe's rays for one region.
struct device_job {
  walk_frame frame;
  int32_t origin[3]; ///< the region's first voxel
  uint32_t slot;
  uint32_t item; ///< the first of its rays among all rays of the launch
  uint32_t rays; ///< where they begin in the ray buffer
  int32_t sign;
};

/// What a batch of jobs is doing.
struct batch_state {
  uint32_t fresh;   ///< blocks wanted
  uint32_t refused; ///< not 0: there are too few; nothing is written
};

/// The part of a ray's walk within a region: calls visit(x, y, z, distance, weight) for each sample, with places relative to the
/// region's first voxel. The arithmetic is that of docs/field.md, "Walk".
template <class Visit>
TESSERA_HD void for_each_sample(const walk_frame& frame, const ray_walk& w, const int32_t* origin, int32_t reach, Visit&& visit) {
  const int32_t origin_a = w.axis == 0   ? origin[0]
                           : w.axis == 1 ? origin[1]
                                         : origin[2],
                origin_b = w.axis == 0 ? origin[1] : origin[0], origin_c = w.axis == 2 ? origin[1] : origin[2];
  const int32_t first = w.first > origin_a ? w.first : origin_a,
                last = w.last < origin_a + reach - 1 ? w.last : origin_a + reach - 1;
  for (int32_t k = first; k <= last; ++k) {
    const int32_t along = k * 256 - w.end_a;
    const int64_t pb = w.end_b * int64_t{256} + slide(along, w.slope_b), pc = w.end_c * int64_t{256} + slide(along, w.slope_c);
    const auto b0 = static_cast<int32_t>(pb >> 16), c0 = static_cast<int32_t>(pc >> 16);
    const auto fb = static_cast<int32_t>(pb >> 12 & 15), fc = static_cast<int32_t>(pc >> 12 & 15);
    const int32_t scaled = -w.direction_a * along + w.direction_b * (w.end_b - b0 * 256) + w.direction_c * (w.end_c - c0 * 256);
    for (int q = 0; q < 4; ++q) {
      const int right = q & 1, up = q >> 1;
      const int32_t b = b0 + right - origin_b, c = c0 + up - origin_c;
      if (b < 0 || c < 0 || b >= reach || c >= reach)
        continue;
      const int32_t distance = clamp_distance(scaled - right * 256 * w.direction_b - up * 256 * w.direction_c);
      const int32_t share = (right != 0 ? fb : 16 - fb) * (up != 0 ? fc : 16 - fc);
      const int32_t weight = sample_weight(frame, w.weight, share, distance);
      if (weight == 0)
        continue;
      const int32_t a = k - origin_a;
      visit(w.axis == 0 ? a : b, w.axis == 1 ? a : w.axis == 0 ? b : c, w.axis == 2 ? a : c, distance, weight);
    }
  }
}

/// The rays of a launch: item i is a ray of the last job whose first item is not beyond i.
struct job_rays {
  const device_job* jobs;
  uint32_t job_count;
  const ray* rays;

  [[nodiscard]] TESSERA_HD const device_job& job_of(uint64_t item) const {
    uint32_t low = 0, high = job_count;
    while (high - low > 1) {
      const uint32_t middle = (low + high) / 2;
      (jobs[middle].item <= item ? low : high) = middle;
    }
    return jobs[low];
  }
  [[nodiscard]] TESSERA_HD const ray& ray_of(const device_job& job, uint64_t item) const {
    return rays[job.rays + (item - job.item)];
  }
};

/// Item: a ray of a job. Lists each block that it writes to and that is missing.
struct mark_blocks {
  field_view field;
  job_rays input;
  uint32_t* fresh; ///< entries of all tables
  uint32_t most;   ///< places in `fresh`: beyond that it counts only
  batch_state* state;

  TESSERA_HD void operator()(uint64_t item) const {
    const device_job& job = input.job_of(item);
    const ray& r = input.ray_of(job, item);
    ray_walk w;
    if (!setup_walk(job.frame, r.x, r.y, r.z, r.points, w))
      return;
    uint32_t last = UINT32_MAX;
    for_each_sample(job.frame, w, job.origin, field.reach, [&](int32_t x, int32_t y, int32_t z, int32_t, int32_t) {
      const uint32_t entry = job.slot * field.table_size + field.entry_of(x, y, z);
      if (entry == last)
        return;
      last = entry;
      if (atomic_load(field.tables[entry]) != no_block || atomic_replace(field.tables[entry], no_block, wanted_block) != no_block)
        return;
      const uint32_t at = append(state->fresh);
      if (at < most)
        fresh[at] = entry;
    });
  }
};

/// One item. Says whether there are as many blocks as are wanted.
struct settle_batch {
  batch_state* state;
  uint32_t free_blocks;
  TESSERA_HD void operator()(uint64_t) const { state->refused = state->fresh > free_blocks ? 1 : 0; }
};

/// Item: a wanted block. Gives it one of the unused.
struct assign_blocks {
  field_view field;
  const uint32_t* fresh;
  const batch_state* state;
  uint32_t free_blocks;
  TESSERA_HD void operator()(uint64_t i) const {
    if (state->refused == 0)
      field.tables[fresh[i]] = field.free[free_blocks - 1 - i] + 1;
  }
};

/// Item: a voxel of a block that was just given.
struct clear_blocks {
  field_view field;
  const batch_state* state;
  uint32_t free_blocks;
  TESSERA_HD void operator()(uint64_t i) const {
    if (state->refused == 0)
      field.words[field.free[free_blocks - 1 - i / 512] * uint64_t{512} + i % 512] = {};
  }
};

/// Item: an entry of one of the chosen regions' tables. Nothing is wanted any more.
struct forget_wanted {
  field_view field;
  const uint32_t* slots;
  TESSERA_HD void operator()(uint64_t i) const {
    uint32_t& entry = field.tables[slots[i / field.table_size] * field.table_size + i % field.table_size];
    if (entry == wanted_block)
      entry = no_block;
  }
};

/// Item: a ray of a job. Adds its samples, or takes them away.
struct add_rays {
  field_view field;
  job_rays input;
  const batch_state* state;

  TESSERA_HD void operator()(uint64_t item) const {
    if (state->refused != 0)
      return;
    const device_job& job = input.job_of(item);
    const ray& r = input.ray_of(job, item);
    ray_walk w;
    if (!setup_walk(job.frame, r.x, r.y, r.z, r.points, w))
      return;
    const uint64_t sign = job.sign < 0 ? ~uint64_t{0} : 1;
    const uint32_t* table = field.tables + static_cast<uint64_t>(job.slot) * field.table_size;
    for_each_sample(job.frame, w, job.origin, field.reach,
                    [&](int32_t x, int32_t y, int32_t z, int32_t distance, int32_t weight) {
                      const voxel_words add = pack_sample(distance, weight, r.r, r.g, r.b);
                      voxel_words& to = field.words[(table[field.entry_of(x, y, z)] - 1) * uint64_t{512}
                                                    + static_cast<uint32_t>(lattice::voxel_in_block(x, y, z))];
                      atomic_add(to.w0, add.w0 * sign);
                      atomic_add(to.w1, add.w1 * sign);
                      atomic_add(to.w2, add.w2 * sign);
                    });
  }
};

/// A region that something is done with as a whole.
struct chosen_region {
  uint32_t slot;
  int32_t origin[3];
};

/// A block of a chosen region.
struct listed_block {
  uint32_t region; ///< index of the chosen region
  uint32_t entry;  ///< in its table
  uint32_t block;
};

/// What is known of chosen regions' blocks: a list, in no order, and for each entry of their tables its place in the list + 1.
struct block_list {
  const chosen_region* regions;
  listed_block* blocks;
  uint32_t* place;  ///< by region index * table size + entry; 0: there is no block
  uint32_t most;    ///< places in `blocks`
  uint32_t* length; ///< of the list, cut off at `most`
  uint32_t* wanted; ///< blocks that there are
};

/// Item: an entry of a chosen region's table. Lists its block.
struct list_blocks {
  field_view field;
  block_list list;
  TESSERA_HD void operator()(uint64_t i) const {
    const auto region = static_cast<uint32_t>(i / field.table_size), entry = static_cast<uint32_t>(i % field.table_size);
    const uint32_t block = field.tables[list.regions[region].slot * uint64_t{field.table_size} + entry];
    list.place[i] = 0;
    if (block == no_block)
      return;
    const uint32_t at = append(*list.wanted);
    if (at >= list.most)
      return; // the host sees that more were wanted than there is room for
    list.blocks[at] = {region, entry, block - 1};
    list.place[i] = at + 1;
    append(*list.length);
  }
};

/// A region's part of the map hash, and its counts.
struct region_sums {
  uint64_t hi, lo, blocks, voxels, held;
};

/// Item: a layer, of eight, of a listed block. Adds it to its region's sums; apron blocks are only counted as held.
struct add_digests {
  field_view field;
  block_list list;
  uint32_t* any; ///< by place in the list: 0; 1 once a voxel is found that is not all zero
  region_sums* sums;

  TESSERA_HD void operator()(uint64_t i) const {
    const listed_block& from = list.blocks[i / 8];
    const auto layer = static_cast<uint32_t>(i % 8);
    region_sums& to = sums[from.region];
    if (layer == 0)
      atomic_add(to.held, uint64_t{1});
    const uint32_t bx = from.entry % field.edge, by = from.entry / field.edge % field.edge,
                   bz = from.entry / field.edge / field.edge;
    if (bx == field.edge - 1 || by == field.edge - 1 || bz == field.edge - 1)
      return;
    const int32_t* origin = list.regions[from.region].origin;
    const voxel_words* words = field.words + from.block * uint64_t{512} + layer * 64;
    uint64_t hi = 0, lo = 0, voxels = 0;
    bool found = false;
    for (int32_t v = 0; v < 64; ++v) {
      const voxel_words w = words[v];
      if ((w.w0 | w.w1 | w.w2) == 0)
        continue;
      const digest128 d
        = voxel_digest(origin[0] + static_cast<int32_t>(bx * 8) + (v & 7), origin[1] + static_cast<int32_t>(by * 8) + (v >> 3),
                       origin[2] + static_cast<int32_t>(bz * 8 + layer), w.w0, w.w1, w.w2);
      hi += d.hi;
      lo += d.lo;
      voxels += weight_sum(w.w1) != 0 ? 1 : 0;
      found = true;
    }
    if (!found)
      return;
    atomic_add(to.hi, hi);
    atomic_add(to.lo, lo);
    atomic_add(to.voxels, voxels);
    if (atomic_or(any[i / 8], 1u) == 0)
      atomic_add(to.blocks, uint64_t{1});
  }
};

/// Item: a listed block. Puts it back on the stack of unused ones; its table entry is empty then.
struct release_blocks {
  field_view field;
  block_list list;
  uint32_t free_blocks; ///< before
  TESSERA_HD void operator()(uint64_t i) const {
    const listed_block& from = list.blocks[i];
    field.free[free_blocks + i] = from.block;
    field.tables[list.regions[from.region].slot * uint64_t{field.table_size} + from.entry] = no_block;
  }
};

/// Item: a voxel of a listed block, from the `first` on. Copies it out.
struct copy_out {
  field_view field;
  block_list list;
  uint64_t first;
  voxel_words* to;
  TESSERA_HD void operator()(uint64_t i) const {
    to[i] = field.words[list.blocks[first + i / 512].block * uint64_t{512} + i % 512];
  }
};

/// Item: a block of a region that comes back. Gives it one of the unused.
struct adopt_blocks {
  field_view field;
  const uint32_t* entries; ///< of all tables
  uint32_t free_blocks;
  TESSERA_HD void operator()(uint64_t i) const { field.tables[entries[i]] = field.free[free_blocks - 1 - i] + 1; }
};

/// Item: a voxel of a block that came back, from the `first` on.
struct copy_in {
  field_view field;
  uint32_t free_blocks;
  uint64_t first;
  const voxel_words* from;
  TESSERA_HD void operator()(uint64_t i) const {
    field.words[field.free[free_blocks - 1 - (first + i / 512)] * uint64_t{512} + i % 512] = from[i];
  }
};

/// Item: a block of the pool. All are unused at first.
struct fill_free_stack {
  uint32_t* free;
  uint32_t blocks;
  TESSERA_HD void operator()(uint64_t i) const { free[i] = blocks - 1 - static_cast<uint32_t>(i); }
};

} // namespace tessera::cuda
