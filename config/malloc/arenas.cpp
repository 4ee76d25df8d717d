// All arenas of jemalloc are made before main(), while there is memory. It makes one when a thread is to have it that begins;
// where there is no memory for it, not even the C library gets its few bytes for the thread, and ends the process.

#include <cstddef>

#include <jemalloc/jemalloc.h>

namespace {

[[gnu::constructor]] void make_all_arenas() {
  unsigned count = 0, own = 0;
  size_t bytes = sizeof count;
  if (mallctl("arenas.narenas", &count, &bytes, nullptr, 0) != 0 || mallctl("thread.arena", &own, &bytes, nullptr, 0) != 0)
    return;
  for (unsigned i = 0; i < count; ++i) // who takes an arena for its own makes it; those that are not for threads refuse
    (void)mallctl("thread.arena", nullptr, nullptr, &i, sizeof i);
  (void)mallctl("thread.arena", nullptr, nullptr, &own, sizeof own);
}

} // namespace
