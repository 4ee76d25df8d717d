#pragma once

#include <chrono>
#include <cstdint>

namespace tessera {

/// Gives memory back to the system: large pieces (large_pieces.hpp) that were not needed for a moment; and when a service has
/// become quiet, what malloc's heaps hold and do not use. That not while it works: it would hold up whoever allocates, for some
/// ten milliseconds.
class idle_memory {
public:
  using clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds quiet{2};
  static constexpr std::chrono::milliseconds between_sweeps{250};

  /// Call it now and then. `done`: how much the service has done so far, in any unit. Answers whether heaps were given
  /// back: once, when `done` has not changed for `quiet`.
  bool step(uint64_t done, clock::time_point now);

private:
  uint64_t done_ = 0;
  clock::time_point since_{}, swept_{};
  bool clean_ = true;
};

} // namespace tessera
