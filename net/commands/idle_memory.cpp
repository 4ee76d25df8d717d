#include "net/commands/idle_memory.hpp"

#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace tessera {

void free_large_pieces_at_once() {
#ifdef __GLIBC__
  ::mallopt(M_MMAP_THRESHOLD, 128 * 1024); // glibc's own first value; setting it keeps it from growing
#endif
}

bool idle_memory::step(uint64_t done, clock::time_point now) {
  if (done != done_) {
    done_ = done;
    since_ = now;
    clean_ = false;
    return false;
  }
  if (clean_ || now - since_ < quiet)
    return false;
  clean_ = true;
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
  return true;
}

} // namespace tessera
