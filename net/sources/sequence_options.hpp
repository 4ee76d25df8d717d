#pragma once

#include "net/sources/frame_order.hpp"

#include <cstdint>

namespace tessera {

/// How a source goes through frames of its own, those of a folder or of a synthetic scan.
struct sequence_options : frame_choice {
  /// Keyframes per second; 0: as fast as the sink takes them.
  double rate = 0;
  /// No keyframe but the first is offered later than so long after the beginning; 0: no limit.
  double seconds = 0;
  /// Threads that decode or make the next keyframes ahead; 0: none, all in the thread of `run`.
  uint32_t prefetch_threads = 1;
};

} // namespace tessera
