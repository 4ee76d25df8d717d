#pragma once

#include <cstdint>
#include <vector>

namespace tessera {

/// What a region's surfaces had in each block when they were last sent: by it, a frame of what changed since a version is made.
struct block_history {
  struct block {
    uint32_t slot;       ///< among the region's blocks
    uint64_t digest;     ///< of what it has; 0: nothing any more
    uint64_t changed_at; ///< the version that changed it last
  };
  uint64_t first = 0;        ///< the version that it begins with; 0: none yet
  uint64_t newest = 0;       ///< the last one that was entered
  std::vector<block> blocks; ///< by slot; of all that had something
};

} // namespace tessera
