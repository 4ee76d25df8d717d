#include "config/malloc/thread_cache.hpp"

#include <cstddef>

#include <jemalloc/jemalloc.h>

namespace tessera {

void begin_thread_cache() noexcept {
  // It must belong to an arena, which may have to be made; and takes some 20 KiB of the first one, where these are free then.
  unsigned arena = 0;
  size_t bytes = sizeof arena;
  if (mallctl("thread.arena", &arena, &bytes, nullptr, 0) != 0)
    return;
  constexpr size_t enough = 64 << 10;
  constexpr int there = MALLOCX_ARENA(0) | MALLOCX_TCACHE_NONE;
  void* const room = mallocx(enough, there);
  if (room == nullptr)
    return;
  dallocx(room, there);
  bool wanted = true;
  (void)mallctl("thread.tcache.enabled", nullptr, nullptr, &wanted, sizeof wanted); // without it all works, too
}

} // namespace tessera
