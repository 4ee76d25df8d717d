#include "actors/base/cycle_clock.hpp"

#include <cstdint>

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

namespace {

/// One moment on both clocks.
struct moment {
  uint64_t ns = 0, ticks = 0;
};

/// The closest of a few readings of both clocks. A thread that is interrupted between the two, on a busy machine for many
/// milliseconds, would pair readings that do not belong together.
template <class Ns, class Ticks>
moment look(Ns ns, Ticks ticks) {
  moment best;
  auto least = UINT64_MAX;
  for (int i = 0; i < 16; ++i) {
    const auto before = ns();
    const auto at = ticks();
    const auto apart = ns() - before;
    if (apart < least) {
      least = apart;
      best = {before + apart / 2, at};
    }
  }
  return best;
}

} // namespace

double cycle_clock::calibrate() noexcept {
  if (!constant_)
    return 1;
  // One millisecond, once per process: the clocks' own cost, some 50 ns, is then an error of 1 in 20,000.
  const auto begin = look(steady_ns, ticks);
  while (steady_ns() - begin.ns < 1'000'000) {
  }
  const auto end = look(steady_ns, ticks);
  return end.ticks > begin.ticks ? static_cast<double>(end.ns - begin.ns) / static_cast<double>(end.ticks - begin.ticks) : 1;
}

} // namespace tessera
