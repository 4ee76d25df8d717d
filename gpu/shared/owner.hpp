#pragma once

#include "gpu/shared/portable.hpp"

#include <cstdint>

namespace tessera {

/// Which of `count` devices that share a map has a region. Along each axis they take turns, so that a wall, and what a camera
/// sees of it, is dealt out evenly. `lost`: bit i says that device i is no more; not all are. A region of a lost one goes to one
/// of the others, which take turns in the order of their numbers; all other regions stay where they are.
TESSERA_HD uint32_t owner_of(int32_t x, int32_t y, int32_t z, uint32_t count, uint64_t lost = 0) {
  const uint32_t turn = static_cast<uint32_t>(x) + static_cast<uint32_t>(y) + static_cast<uint32_t>(z) + (uint32_t{3} << 20);
  const uint32_t first = turn % count;
  if ((lost >> first & 1) == 0)
    return first;
  uint32_t left = 0;
  for (uint32_t i = 0; i < count; ++i)
    left += (lost >> i & 1) == 0 ? 1 : 0;
  uint32_t rank = turn / count % left; // what is left of a number that is not used up by the first turn
  for (uint32_t i = 0;; ++i)
    if ((lost >> i & 1) == 0 && rank-- == 0)
      return i;
}

} // namespace tessera
