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

/// A region that is not on the device.
inline constexpr uint32_t no_slot = UINT32_MAX;

/// A region's place as one word; never 0.
TESSERA_HD uint64_t region_name(int32_t x, int32_t y, int32_t z) {
  const auto part = [](int32_t v) { return static_cast<uint64_t>(static_cast<uint32_t>(v + (1 << 20)) & 0x1fffff); };
  return part(x) | part(y) << 21 | part(z) << 42 | uint64_t{1} << 63;
}

/// Which of several devices that share a map has a region.
TESSERA_HD uint32_t owner_of(uint64_t name, uint32_t shares) {
  return static_cast<uint32_t>(mix64(name) % shares);
}

/// Where a region's search begins in a directory.
TESSERA_HD uint32_t directory_start(uint64_t name) {
  const uint64_t h = name * 0x9e3779b97f4a7c15u;
  return static_cast<uint32_t>(h >> 40);
}

/// The fields of a device: all regions share one pool of blocks. A region has a slot, and by that a table of its blocks, x
/// fastest, apron included. Which region has which slot the host says, in an open-addressing table.
struct field_view {
  uint32_t* tables;
  voxel_words* words;     ///< 512 for each block of the pool
  uint32_t* free;         ///< a stack of unused blocks
  uint32_t* free_count;   ///< how many there are
  const uint64_t* names;  ///< of the directory; 0: none
  const uint32_t* slots;  ///< likewise
  const int32_t* origins; ///< by slot: the region's first voxel, three numbers each
  uint32_t directory_mask;
  uint32_t edge;         ///< blocks of a table along an axis
  uint32_t table_size;   ///< edge^3
  int32_t region_voxels; ///< of a region along an axis
  int32_t reach;         ///< those and the apron

  [[nodiscard]] TESSERA_HD uint32_t entry_of(int32_t x, int32_t y, int32_t z) const {
    return (static_cast<uint32_t>(z >> 3) * edge + static_cast<uint32_t>(y >> 3)) * edge + static_cast<uint32_t>(x >> 3);
  }
  [[nodiscard]] TESSERA_HD uint32_t* table_of(uint32_t slot) const { return tables + static_cast<uint64_t>(slot) * table_size; }
  [[nodiscard]] TESSERA_HD uint32_t slot_of(uint64_t name) const {
    for (uint32_t at = directory_start(name) & directory_mask;; at = (at + 1) & directory_mask) {
      if (names[at] == name)
        return slots[at];
      if (names[at] == 0)
        return no_slot;
    }
  }
};

/// A ray's part in a region: the number of its walk; the region's slot, and in the highest bit whether it is taken away.
struct touch {
  uint32_t ray;
  uint32_t slot_and_sign;
};
inline constexpr uint32_t taken_away = uint32_t{1} << 31;

/// What a batch of rays is doing. All zero before.
struct batch_state {
  static constexpr uint32_t most_missing = 512;
  uint32_t beyond;    ///< rays that write nothing
  uint32_t touches;   ///< of rays and regions; more than there is room for: nothing is written
  uint32_t regions;   ///< that are touched
  uint32_t missing;   ///< touches of regions that are not on the device; if any, nothing is written
  uint32_t fresh;     ///< blocks made; they stay, all zero, if nothing is written
  uint32_t wanting;   ///< attempts to make a block when there was none left; if any, nothing is written
  uint32_t free_left; ///< unused blocks after it; valid if there are touches
  uint32_t listed;    ///< blocks to be meshed
  uint32_t wanted;    ///< the same, if there had been room
  uint32_t rows;      ///< of these blocks that have vertices or triangles
  uint32_t vertices, corners;
  uint64_t missing_names[most_missing]; ///< an open-addressing table; when it is full, others are not noted

  [[nodiscard]] TESSERA_HD bool goes_ahead(uint32_t most_touches) const {
    return wanting == 0 && missing == 0 && touches <= most_touches;
  }
};

/// The samples of a ray's walk in slice k within a region: calls visit(x, y, z, distance, weight) for each, with places relative
/// to the region's first voxel. The arithmetic is that of docs/field.md, "Walk".
template <class Visit>
TESSERA_HD void for_each_sample(const walk_frame& frame, const ray_walk& w, const int32_t* origin, int32_t reach, int32_t k,
                                Visit&& visit) {
  const int32_t origin_a = w.axis == 0   ? origin[0]
                           : w.axis == 1 ? origin[1]
                                         : origin[2],
                origin_b = w.axis == 0 ? origin[1] : origin[0], origin_c = w.axis == 2 ? origin[1] : origin[2];
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

/// The slices of a walk that lie in a region.
struct slices {
  int32_t first, last;
  TESSERA_HD slices(const ray_walk& w, const int32_t* origin, int32_t reach) {
    const int32_t from = w.axis == 0 ? origin[0] : w.axis == 1 ? origin[1] : origin[2];
    first = w.first > from ? w.first : from;
    last = w.last < from + reach - 1 ? w.last : from + reach - 1;
  }
};

/// What both ways to find a batch's touches write.
struct touch_list {
  ray_walk* walks; ///< by ray
  touch* touches;
  uint32_t most;
};

/// Item: a ray of a keyframe. Finds the regions that it touches, of those that this device has.
struct split_rays {
  field_view field;
  touch_list out;
  walk_frame frame;
  const ray* rays;
  uint32_t* touched_by;      ///< by slot: the last batch that touched the region
  uint32_t batch;            ///< this one; no other has the same number
  uint32_t* touched_regions; ///< slots
  batch_state* state;
  uint32_t share, shares; ///< this device's, of all; see owner_of()

  TESSERA_HD void operator()(uint64_t i) const {
    const ray r = rays[i];
    ray_walk w;
    const bool writes = setup_walk(frame, r.x, r.y, r.z, r.points, w);
    out.walks[i] = w;
    if (!writes) {
      append(state->beyond);
      return;
    }
    int32_t low[3], high[3];
    walk_box(w, low, high);
    for (int axis = 0; axis < 3; ++axis) {
      low[axis] = lattice::floor_div(low[axis] - lattice::apron, field.region_voxels);
      high[axis] = lattice::floor_div(high[axis], field.region_voxels);
    }
    for (int32_t z = low[2]; z <= high[2]; ++z)
      for (int32_t y = low[1]; y <= high[1]; ++y)
        for (int32_t x = low[0]; x <= high[0]; ++x)
          touch_region(region_name(x, y, z), static_cast<uint32_t>(i));
  }

private:
  TESSERA_HD void touch_region(uint64_t name, uint32_t i) const {
    if (shares > 1 && owner_of(name, shares) != share)
      return;
    const uint32_t slot = field.slot_of(name);
    if (slot == no_slot) {
      append(state->missing);
      note_missing(name);
      return;
    }
    if (atomic_load(touched_by[slot]) != batch && atomic_exchange(touched_by[slot], batch) != batch)
      touched_regions[append(state->regions)] = slot;
    const uint32_t at = append(state->touches);
    if (at < out.most)
      out.touches[at] = {i, slot};
  }
  TESSERA_HD void note_missing(uint64_t name) const {
    uint64_t* names = state->missing_names;
    uint32_t at = directory_start(name) % batch_state::most_missing;
    for (uint32_t tries = 0; tries < 32; ++tries, at = (at + 1) % batch_state::most_missing) {
      uint64_t seen = atomic_load(names[at]);
      if (seen == 0)
        seen = atomic_replace(names[at], uint64_t{0}, name);
      if (seen == 0 || seen == name)
        return;
    }
  }
};

/// One keyframe's rays for one region, as the host asks for it.
struct device_job {
  walk_frame frame;
  uint32_t slot;
  uint32_t item; ///< the first of its rays among all rays of the launch
  uint32_t rays; ///< where they begin in the ray buffer
  int32_t sign;
};

/// Item: a ray of a job, of the last one whose first item is not beyond it. Makes a touch of it.
struct walk_jobs {
  touch_list out;
  const device_job* jobs;
  uint32_t job_count;
  const ray* rays;
  uint32_t* ray_numbers; ///< by item: the ray's place in the buffer

  TESSERA_HD void operator()(uint64_t item) const {
    uint32_t low = 0, high = job_count;
    while (high - low > 1) {
      const uint32_t middle = (low + high) / 2;
      (jobs[middle].item <= item ? low : high) = middle;
    }
    const device_job& job = jobs[low];
    const uint32_t number = job.rays + static_cast<uint32_t>(item - job.item);
    const ray& r = rays[number];
    ray_walk w;
    setup_walk(job.frame, r.x, r.y, r.z, r.points, w); // one that writes nothing has no slices
    out.walks[item] = w;
    ray_numbers[item] = number;
    out.touches[item] = {static_cast<uint32_t>(item), job.slot | (job.sign < 0 ? taken_away : 0)};
  }
};

/// Lanes that share a touch: each does every eighth slice of the ray.
inline constexpr uint32_t touch_lanes = 8;

/// Item: a lane of a touch. Makes the blocks that are written to and missing, all zero as unused blocks are.
struct make_blocks {
  field_view field;
  walk_frame frame; ///< of any pose: only what the mapping says is used
  touch_list input;
  batch_state* state;

  TESSERA_HD void operator()(uint64_t i) const {
    if (i / touch_lanes >= input.most)
      return;
    const touch t = input.touches[i / touch_lanes];
    const ray_walk& w = input.walks[t.ray];
    const uint32_t slot = t.slot_and_sign & ~taken_away;
    const int32_t* origin = field.origins + 3 * uint64_t{slot};
    uint32_t* table = field.table_of(slot);
    const slices range(w, origin, field.reach);
    uint32_t last = UINT32_MAX;
    for (int32_t k = range.first + static_cast<int32_t>(i % touch_lanes); k <= range.last; k += static_cast<int32_t>(touch_lanes))
      for_each_sample(frame, w, origin, field.reach, k, [&](int32_t x, int32_t y, int32_t z, int32_t, int32_t) {
        const uint32_t entry = field.entry_of(x, y, z);
        if (entry == last)
          return;
        last = entry;
        if (atomic_load(table[entry]) == no_block && atomic_replace(table[entry], no_block, wanted_block) == no_block)
          atomic_exchange(table[entry], take_block());
      });
  }

private:
  /// An unused block's number + 1; or no_block.
  TESSERA_HD uint32_t take_block() const {
    const auto left = static_cast<int32_t>(atomic_add(*field.free_count, ~uint32_t{0}));
    if (left > 0) {
      append(state->fresh);
      return field.free[left - 1] + 1;
    }
    atomic_add(*field.free_count, 1u);
    append(state->wanting);
    return no_block;
  }
};

/// Item: a lane of a touch. Adds the ray's samples to the region, or takes them away.
struct add_touches {
  field_view field;
  walk_frame frame; ///< of any pose
  touch_list input;
  const ray* rays;
  const uint32_t* ray_numbers; ///< by ray of a touch; null: the same
  batch_state* state;

  TESSERA_HD void operator()(uint64_t i) const {
    if (i == 0)
      state->free_left = *field.free_count;
    if (!state->goes_ahead(input.most))
      return;
    const touch t = input.touches[i / touch_lanes];
    const ray_walk& w = input.walks[t.ray];
    const uint32_t slot = t.slot_and_sign & ~taken_away;
    const uint64_t sign = (t.slot_and_sign & taken_away) != 0 ? ~uint64_t{0} : 1;
    const int32_t* origin = field.origins + 3 * uint64_t{slot};
    const uint32_t* table = field.table_of(slot);
    const ray& r = rays[ray_numbers != nullptr ? ray_numbers[t.ray] : t.ray];
    const slices range(w, origin, field.reach);
    for (int32_t k = range.first + static_cast<int32_t>(i % touch_lanes); k <= range.last; k += static_cast<int32_t>(touch_lanes))
      for_each_sample(frame, w, origin, field.reach, k, [&](int32_t x, int32_t y, int32_t z, int32_t distance, int32_t weight) {
        const voxel_words add = pack_sample(distance, weight, r.r, r.g, r.b);
        voxel_words& to = field.words[(table[field.entry_of(x, y, z)] - 1) * uint64_t{512}
                                      + static_cast<uint32_t>(lattice::voxel_in_block(x, y, z))];
        atomic_add(to.w0, add.w0 * sign);
        atomic_add(to.w1, add.w1 * sign);
        atomic_add(to.w2, add.w2 * sign);
      });
  }
};

/// A block of a chosen region.
struct listed_block {
  uint32_t region; ///< index of the chosen region
  uint32_t entry;  ///< in its table
  uint32_t block;
};

/// What is known of chosen regions' blocks: a list, in no order, and for each entry of their tables its place in the list + 1.
struct block_list {
  const uint32_t* regions; ///< slots
  listed_block* blocks;
  uint32_t* place;    ///< by region index * table size + entry; 0: there is no block
  uint32_t most;      ///< places in `blocks`
  batch_state* state; ///< listed: cut off at `most`; wanted: not
};

/// Item: an entry of a chosen region's table. Lists its block.
struct list_blocks {
  field_view field;
  block_list list;
  TESSERA_HD void operator()(uint64_t i) const {
    const auto region = static_cast<uint32_t>(i / field.table_size), entry = static_cast<uint32_t>(i % field.table_size);
    const uint32_t block = field.table_of(list.regions[region])[entry];
    list.place[i] = 0;
    if (block == no_block)
      return;
    const uint32_t at = append(list.state->wanted);
    if (at >= list.most)
      return; // the host sees that more were wanted than there is room for
    list.blocks[at] = {region, entry, block - 1};
    list.place[i] = at + 1;
    append(list.state->listed);
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
    const int32_t* origin = field.origins + 3 * uint64_t{list.regions[from.region]};
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

/// Item: a voxel of a listed block. Empties it, and puts the block back on the stack of unused ones; its table entry is empty
/// then.
struct release_blocks {
  field_view field;
  block_list list;
  const uint32_t* kept; ///< by place in the list: not 0, the block stays; null: none does
  TESSERA_HD void operator()(uint64_t i) const {
    const listed_block& from = list.blocks[i / 512];
    if (kept != nullptr && kept[i / 512] != 0)
      return;
    field.words[from.block * uint64_t{512} + i % 512] = {};
    if (i % 512 != 0)
      return;
    field.free[append(*field.free_count)] = from.block;
    field.table_of(list.regions[from.region])[from.entry] = no_block;
  }
};

/// Item: a layer, of eight, of a listed block. Notes blocks that have a voxel that is not all zero.
struct find_used {
  field_view field;
  block_list list;
  uint32_t* used; ///< by place in the list
  TESSERA_HD void operator()(uint64_t i) const {
    const voxel_words* words = field.words + list.blocks[i / 8].block * uint64_t{512} + i % 8 * 64;
    uint64_t any = 0;
    for (int v = 0; v < 64; ++v)
      any |= words[v].w0 | words[v].w1 | words[v].w2;
    if (any != 0)
      atomic_or(used[i / 8], 1u);
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

/// One item. The host says how many blocks are unused.
struct set_free_count {
  uint32_t* free_count;
  uint32_t blocks;
  TESSERA_HD void operator()(uint64_t) const { *free_count = blocks; }
};

} // namespace tessera::cuda
