#include "allocation_watch.hpp"

#include <cstdlib>
#include <new>

namespace {

thread_local std::size_t largest_allocation = 0;

} // namespace

// The whole test program allocates through these, but not under a sanitizer, which has its own.
#ifndef __SANITIZE_ADDRESS__
void* operator new(std::size_t n) {
  if (n > largest_allocation)
    largest_allocation = n;
  if (void* p = std::malloc(n == 0 ? 1 : n))
    return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, std::size_t) noexcept {
  std::free(p);
}
#endif

namespace tessera {

allocation_watch::allocation_watch() {
  largest_allocation = 0;
}

size_t allocation_watch::largest() const {
  return largest_allocation;
}

} // namespace tessera
