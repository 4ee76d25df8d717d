#include "net/commands/idle_memory.hpp"

#include "net/commands/large_pieces.hpp"

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace tessera {

bool idle_memory::step(uint64_t done, clock::time_point now) {
  if (now - swept_ >= between_sweeps) {
    swept_ = now;
    sweep_large_pieces();
  }
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
