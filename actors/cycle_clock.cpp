#include "actors/cycle_clock.hpp"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace tessera {

const bool cycle_clock::constant_ = cycle_clock::is_constant();
const double cycle_clock::ns_per_tick_ = cycle_clock::calibrate(); // after constant_: same file, in this order

bool cycle_clock::is_constant() noexcept {
#if defined(__x86_64__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(0x80000007, &a, &b, &c, &d) != 0 && (d & (1u << 8)) != 0; // "invariant TSC"
#else
  return false;
#endif
}

double cycle_clock::calibrate() noexcept {
  if (!constant_)
    return 1;
  // One millisecond once a process: the clocks' own cost, some 50 ns, is then an error of 1 in 20,000.
  const auto ns0 = steady_ns();
  const auto t0 = ticks();
  auto ns1 = ns0;
  while ((ns1 = steady_ns()) - ns0 < 1'000'000) {
  }
  const auto t1 = ticks();
  return t1 > t0 ? static_cast<double>(ns1 - ns0) / static_cast<double>(t1 - t0) : 1;
}

} // namespace tessera
