// Where C++ takes its memory from. The other forms of the standard library call these.

#include "config/malloc/small_reserve.hpp"
#include "config/malloc/thread_cache.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

constinit thread_local bool has_begun = false;

} // namespace

void* operator new(size_t bytes) {
  if (!has_begun) [[unlikely]] {
    has_begun = true;
    tessera::begin_thread_cache();
  }
  if (auto* out = std::malloc(std::max(bytes, size_t{1}))) [[likely]]
    return out;
  if (auto* out = tessera::small_reserve::take(bytes))
    return out;
  throw std::bad_alloc{};
}

void operator delete(void* piece) noexcept {
  if (!tessera::small_reserve::give_back(piece)) [[likely]]
    std::free(piece);
}

void operator delete(void* piece, size_t) noexcept {
  operator delete(piece);
}
