#include "config/malloc/small_reserve.hpp"

#include <atomic>
#include <cstdint>

namespace tessera {

namespace {

// Memory that is never touched is not used. All of it is there before the first constructor runs.
alignas(64) constinit std::byte room[small_reserve::piece_bytes * small_reserve::pieces]{};
constinit std::atomic<uint32_t>
  next_free[small_reserve::pieces]{};         ///< of a piece that is free: the one below, from 1 on; 0: none
constinit std::atomic<uint64_t> top{0};       ///< of the stack of free pieces, likewise; above 32 bits how often it changed
constinit std::atomic<uint32_t> untouched{0}; ///< from this piece on none was ever in use

uint64_t on_top(uint64_t was, uint32_t piece) {
  return ((was >> 32) + 1) << 32 | piece;
}

} // namespace

void* small_reserve::take(size_t bytes) noexcept {
  if (bytes > piece_bytes)
    return nullptr;
  auto was = top.load(std::memory_order_acquire);
  while (const auto piece = static_cast<uint32_t>(was)) {
    const auto below = next_free[piece - 1].load(std::memory_order_relaxed);
    if (top.compare_exchange_weak(was, on_top(was, below), std::memory_order_acq_rel, std::memory_order_acquire))
      return room + (piece - 1) * piece_bytes;
  }
  for (auto fresh = untouched.load(std::memory_order_relaxed); fresh < pieces;)
    if (untouched.compare_exchange_weak(fresh, fresh + 1, std::memory_order_relaxed))
      return room + fresh * piece_bytes;
  return nullptr;
}

bool small_reserve::give_back(void* piece) noexcept {
  const auto offset = reinterpret_cast<uintptr_t>(piece) - reinterpret_cast<uintptr_t>(room); // wraps where it lies before
  if (offset >= sizeof room)
    return false;
  const auto number = static_cast<uint32_t>(offset / piece_bytes);
  auto was = top.load(std::memory_order_relaxed);
  do
    next_free[number].store(static_cast<uint32_t>(was), std::memory_order_relaxed);
  while (!top.compare_exchange_weak(was, on_top(was, number + 1), std::memory_order_acq_rel, std::memory_order_relaxed));
  return true;
}

} // namespace tessera
