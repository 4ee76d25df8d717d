#pragma once

#include <chrono>
#include <cstdint>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace tessera {

/// The cheapest clock that all cores share: the processor's cycle counter where it runs at a constant rate, else the steady
/// clock. For durations only.
class cycle_clock {
public:
  static uint64_t ticks() noexcept {
#if defined(__x86_64__)
    if (constant_)
      return __rdtsc();
#endif
    return steady_ns();
  }

  static uint64_t to_ns(uint64_t ticks) noexcept {
    return static_cast<uint64_t>(static_cast<double>(ticks) * ns_per_tick_);
  }

private:
  static uint64_t steady_ns() noexcept {
    return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count());
  }
  static bool is_constant() noexcept;
  static double calibrate() noexcept;

  static const bool constant_;
  static const double ns_per_tick_;
};

} // namespace tessera
