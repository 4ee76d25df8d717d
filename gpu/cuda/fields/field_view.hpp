#pragma once
// How kernels find voxels: regions by their names, blocks by their regions' tables; and what a batch of work says of itself.

#include "gpu/bounds.hpp"
#include "gpu/cuda/device/atomics.hpp"
#include "gpu/shared/digest.hpp"
#include "gpu/shared/lattice.hpp"
#include "gpu/shared/voxel.hpp"

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

/// Where a region's search begins in a directory.
TESSERA_HD uint32_t directory_start(uint64_t name) {
  const uint64_t h = name * 0x9e3779b97f4a7c15u;
  return static_cast<uint32_t>(h >> 40);
}

/// A name of the directory that no region has: one has left from there.
inline constexpr uint64_t nobody = 1;

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

/// A place of the directory that is written anew.
struct directory_change {
  uint64_t name;
  uint32_t at, slot;
  int32_t origin[3];
};

/// Item: a change.
struct change_directory {
  const directory_change* changes;
  uint64_t* names;
  uint32_t* slots;
  int32_t* origins;
  TESSERA_HD void operator()(uint64_t i) const {
    const directory_change& c = changes[i];
    names[c.at] = c.name;
    slots[c.at] = c.slot;
    if (c.slot != no_slot)
      for (int k = 0; k < 3; ++k)
        origins[3 * uint64_t{c.slot} + static_cast<uint64_t>(k)] = c.origin[k];
  }
};

/// What a batch of rays is doing. All zero before.
struct batch_state {
  static constexpr uint32_t most_missing = 512;
  uint32_t beyond;                      ///< rays that write nothing
  uint32_t touches;                     ///< of rays and regions; more than there is room for: nothing is written
  uint32_t regions;                     ///< that are touched; more than a keyframe may: nothing is written
  uint32_t missing;                     ///< touches of regions that are not on the device; if any, nothing is written
  uint32_t fresh;                       ///< blocks made; they stay, all zero, if nothing is written
  uint32_t wanting;                     ///< attempts to make a block when there was none left; if any, nothing is written
  uint32_t free_left;                   ///< unused blocks after it; valid if there are touches
  uint64_t missing_names[most_missing]; ///< an open-addressing table; when it is full, others are not noted

  [[nodiscard]] TESSERA_HD bool goes_ahead(uint32_t most_touches) const {
    return wanting == 0 && missing == 0 && touches <= most_touches && regions <= most_keyframe_regions;
  }
};

} // namespace tessera::cuda
