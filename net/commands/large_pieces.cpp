#include "net/commands/large_pieces.hpp"

#include <atomic>
#include <cstdlib>
#include <new>

#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define TESSERA_KEEPS_PIECES
#include <malloc.h>
#endif

namespace {

constinit tessera::piece_cache cache; // needs no destructor: pieces are freed to the very end
#ifdef TESSERA_KEEPS_PIECES
constinit std::atomic<bool> keeping{false};
#endif

} // namespace

namespace tessera {

void keep_large_pieces() {
#ifdef TESSERA_KEEPS_PIECES
  ::mallopt(M_MMAP_THRESHOLD, large_piece_bytes); // glibc's own first value; setting it keeps it from growing
  keeping = true;
#endif
}

void sweep_large_pieces() {
  cache.sweep();
}

size_t kept_large_pieces() {
  return cache.kept_bytes();
}

} // namespace tessera

#ifdef TESSERA_KEEPS_PIECES

// The other forms of new and delete, but those with an alignment, call these.

void* operator new(size_t bytes) {
  auto wanted = bytes > 0 ? bytes : 1;
  if (wanted >= tessera::piece_cache::smallest && keeping.load(std::memory_order_relaxed)) {
    if (auto* piece = cache.take(wanted))
      return piece;
    wanted = tessera::piece_cache::rounded(wanted);
  }
  for (;;) {
    if (auto* fresh = std::malloc(wanted))
      return fresh;
    if (cache.clear())
      continue;
    const auto handler = std::get_new_handler();
    if (!handler)
      throw std::bad_alloc{};
    handler();
  }
}

void operator delete(void* piece) noexcept {
  if (piece && keeping.load(std::memory_order_relaxed))
    if (const auto bytes = ::malloc_usable_size(piece); bytes >= tessera::piece_cache::smallest && cache.keep(piece, bytes))
      return;
  std::free(piece);
}

void operator delete(void* piece, size_t bytes) noexcept {
  if (bytes < tessera::piece_cache::smallest)
    std::free(piece);
  else
    operator delete(piece);
}

#endif
