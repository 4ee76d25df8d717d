#pragma once

#include <chrono>
#include <cstdint>

namespace tessera {

/// Has large pieces of memory (rays, points, encoded meshes) given back to the system when they are freed. By default malloc
/// takes ever larger ones from its heaps, where what lives long keeps what is free from being given back: after 100 keyframes of
/// a room at 2 cm that was 136 MB instead of 105. Call it before there are threads.
void free_large_pieces_at_once();

/// Gives what malloc's heaps hold and do not use back to the system when a service has become quiet. Not while it works: that
/// would hold up whoever allocates, for some ten milliseconds.
class idle_memory {
public:
  using clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds quiet{2};

  /// Call it now and then. `done`: how much the service has done so far, in any unit. Answers whether memory was given back:
  /// once, when `done` has not changed for `quiet`.
  bool step(uint64_t done, clock::time_point now);

private:
  uint64_t done_ = 0;
  clock::time_point since_{};
  bool clean_ = true;
};

} // namespace tessera
