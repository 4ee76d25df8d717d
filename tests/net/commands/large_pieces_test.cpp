// Freed memory that is kept for its next use, and given back.

#include "net/commands/idle_memory.hpp"
#include "net/commands/large_pieces.hpp"

#include <catch2/catch.hpp>

#include <malloc.h>

#include <cstdint>
#include <cstdlib>
#include <random>
#include <thread>
#include <vector>

using namespace tessera;

namespace {

constexpr size_t large = size_t{1} << 20;

/// A piece as it comes from malloc, of the size that the cache asks for.
void* fresh(size_t bytes) {
  return std::malloc(piece_cache::rounded(bytes));
}

} // namespace

TEST_CASE("a kept piece goes to the next who wants one of about its size, the last one first") {
  piece_cache cache;
  CHECK(cache.take(large) == nullptr);
  auto *a = fresh(large), *b = fresh(large);
  REQUIRE(cache.keep(a, piece_cache::rounded(large)));
  REQUIRE(cache.keep(b, piece_cache::rounded(large)));
  CHECK(cache.kept_bytes() >= 2 * large);
  CHECK(cache.take(large + large / 2) == nullptr); // too small for it
  CHECK(cache.take(large / 2) == nullptr);         // a waste
  CHECK(cache.take(large) == b);
  CHECK(cache.take(large - large / 20) == a);
  CHECK(cache.take(large) == nullptr);
  CHECK(cache.kept_bytes() == 0);
  std::free(a);
  std::free(b);
}

TEST_CASE("whatever is taken has room for what is wanted, wherever it came from") {
  piece_cache cache;
  std::mt19937 random{1};
  std::uniform_int_distribution<size_t> sizes{piece_cache::smallest, piece_cache::smallest * 6};
  size_t kept = 0, taken = 0;
  for (int i = 0; i < 4000; ++i) {
    const auto bytes = sizes(random);
    REQUIRE(piece_cache::rounded(bytes) >= bytes);
    if (auto* piece = cache.take(bytes)) {
      ++taken;
      REQUIRE(::malloc_usable_size(piece) >= bytes);
      REQUIRE(::malloc_usable_size(piece) <= bytes + bytes / 2); // nor much more
      std::free(piece);
    }
    auto* next = i % 2 == 0 ? fresh(bytes) : std::malloc(bytes); // the cache's own sizes, and any other
    if (cache.keep(next, ::malloc_usable_size(next)))
      ++kept;
    else
      std::free(next);
  }
  CHECK(kept > 2000);
  CHECK(taken > 1000);
  CHECK(cache.clear());
  CHECK_FALSE(cache.clear());
  CHECK(cache.kept_bytes() == 0);
}

TEST_CASE("what was not needed between two sweeps goes back") {
  piece_cache cache;
  for (int i = 0; i < 3; ++i)
    REQUIRE(cache.keep(fresh(large), piece_cache::rounded(large)));
  const auto one = cache.kept_bytes() / 3;
  cache.sweep(); // they came since the last one
  CHECK(cache.kept_bytes() == 3 * one);
  for (int i = 0; i < 4; ++i) {
    auto *a = cache.take(large), *b = cache.take(large); // two of them are in use at times
    REQUIRE((a && b));
    REQUIRE((cache.keep(a, piece_cache::rounded(large)) && cache.keep(b, piece_cache::rounded(large))));
    cache.sweep();
    CHECK(cache.kept_bytes() == 2 * one);
  }
  cache.sweep();
  CHECK(cache.kept_bytes() == 0);
}

TEST_CASE("no more than the bound is kept, nothing small, and nothing huge") {
  piece_cache cache;
  size_t kept = 0;
  void* last = nullptr;
  do {
    last = fresh(size_t{10} << 20);
    REQUIRE(last);
    kept += piece_cache::rounded(size_t{10} << 20);
    REQUIRE(kept < 2 * piece_cache::most_kept);
  } while (cache.keep(last, piece_cache::rounded(size_t{10} << 20)));
  std::free(last);
  CHECK(cache.kept_bytes() <= piece_cache::most_kept);
  CHECK(cache.kept_bytes() > piece_cache::most_kept - (size_t{12} << 20));
  cache.clear();
  auto *small = std::malloc(1000), *huge = std::malloc(2 * piece_cache::largest);
  CHECK_FALSE(cache.keep(small, 1000));
  CHECK_FALSE(cache.keep(huge, 2 * piece_cache::largest));
  std::free(small);
  std::free(huge);
}

#if !defined(__SANITIZE_ADDRESS__)

TEST_CASE("once it was asked for, freed memory is used again, by any thread, and goes back when there was no use") {
  const auto begin_of = [](size_t bytes) {
    std::vector<char> some(bytes);
    return reinterpret_cast<uintptr_t>(some.data());
  };
  begin_of(large);
  CHECK(kept_large_pieces() == 0); // not asked for yet
  keep_large_pieces();
  const auto first = begin_of(large);
  CHECK(kept_large_pieces() >= large);
  CHECK(begin_of(large - 1000) == first);
  std::jthread{[&] { CHECK(begin_of(large) == first); }}.join();
  const auto before = kept_large_pieces();
  begin_of(1000);
  CHECK(kept_large_pieces() == before);

  idle_memory memory;
  auto now = idle_memory::clock::now();
  CHECK_FALSE(memory.step(1, now));
  CHECK(kept_large_pieces() == before); // used a moment ago
  memory.step(2, now += idle_memory::between_sweeps / 2);
  CHECK(kept_large_pieces() == before); // too early
  memory.step(3, now += idle_memory::between_sweeps);
  CHECK(kept_large_pieces() == 0);
  CHECK_FALSE(memory.step(3, now += idle_memory::quiet / 2));
  CHECK(memory.step(3, now += idle_memory::quiet)); // heaps as well
  CHECK_FALSE(memory.step(3, now += idle_memory::quiet));
}

#endif
