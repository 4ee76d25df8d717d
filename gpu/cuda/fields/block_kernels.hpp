#pragma once
// What is done with whole blocks of regions: listing, hashing (docs/field.md, "Hash"), giving back, moving.

#include "gpu/cuda/fields/field_view.hpp"

namespace tessera::cuda {

/// A block of a chosen region.
struct listed_block {
  uint32_t region; ///< index of the chosen region
  uint32_t entry;  ///< in its table
  uint32_t block;
};

/// How long a list is. All zero before.
struct list_state {
  uint32_t listed; ///< blocks in it
  uint32_t wanted; ///< the same, if there had been room
};

/// What is known of chosen regions' blocks: a list, in no order, and for each entry of their tables its place in the list + 1.
struct block_list {
  const uint32_t* regions; ///< slots
  listed_block* blocks;
  uint32_t* place; ///< by region index * table size + entry; 0: there is no block
  uint32_t most;   ///< places in `blocks`
  list_state* state;
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
