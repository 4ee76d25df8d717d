#pragma once

#include "gpu/fields.hpp"

#include <chrono>
#include <cstdint>

namespace tessera::cuda {

/// What a device may use.
struct field_options {
  /// Memory of blocks on the device, bytes; taken at once. At least one block.
  uint64_t pool_bytes = uint64_t{1} << 30;
  /// All memory on the device, the pool and what it takes to mesh included, bytes; 0: as much as there is.
  uint64_t device_bytes = 0;
  /// Memory on the host for regions that do not fit on the device, bytes. 0: none ever leaves.
  uint64_t host_bytes = 0;
  /// Regions on the device at once, at most; each takes 4 bytes for each block that it could have, all of them a sixteenth of the
  /// pool at most.
  uint32_t most_regions = 262144;
  /// Keyframes whose rays are made at once; each has a stream and a thread.
  uint32_t ray_lanes = 5;
  /// How long extract_soon() lets keyframes go first; at most most_extract_wait.
  std::chrono::milliseconds extract_wait{most_extract_wait};
  /// Threads that help to copy a keyframe's points into pinned memory.
  uint32_t copy_helpers = 0;
  /// Fills new device memory with garbage, so that what is read before it is written shows; for tests.
  bool poison = false;
};

} // namespace tessera::cuda
