#pragma once
// Atomic operations of kernels, for the device and, so that kernels can be tested without one, for the host. All are relaxed:
// launches of one stream follow each other, and within a launch nothing depends on an order.

#include "gpu/shared/portable.hpp"

#include <cstdint>

#ifndef __CUDA_ARCH__
#include <atomic>
#include <bit>
#endif

namespace tessera::cuda {

/// Adds modulo 2^32; returns what was there before.
TESSERA_HD uint32_t atomic_add(uint32_t& to, uint32_t by) {
#ifdef __CUDA_ARCH__
  return atomicAdd(&to, by);
#else
  return std::atomic_ref(to).fetch_add(by, std::memory_order_relaxed);
#endif
}

/// Adds modulo 2^64; nobody needs what was there before, so that the device need not send it back.
TESSERA_HD void atomic_add(uint64_t& to, uint64_t by) {
#ifdef __CUDA_ARCH__
  atomicAdd(reinterpret_cast<unsigned long long*>(&to), static_cast<unsigned long long>(by));
#else
  std::atomic_ref(to).fetch_add(by, std::memory_order_relaxed);
#endif
}

/// Writes `next` if `expected` is there; returns what was there before.
TESSERA_HD uint32_t atomic_replace(uint32_t& at, uint32_t expected, uint32_t next) {
#ifdef __CUDA_ARCH__
  return atomicCAS(&at, expected, next);
#else
  std::atomic_ref(at).compare_exchange_strong(expected, next, std::memory_order_relaxed);
  return expected;
#endif
}

/// Writes `next` if `expected` is there; returns what was there before.
TESSERA_HD uint64_t atomic_replace(uint64_t& at, uint64_t expected, uint64_t next) {
#ifdef __CUDA_ARCH__
  return atomicCAS(reinterpret_cast<unsigned long long*>(&at), static_cast<unsigned long long>(expected),
                   static_cast<unsigned long long>(next));
#else
  std::atomic_ref(at).compare_exchange_strong(expected, next, std::memory_order_relaxed);
  return expected;
#endif
}

/// Writes; returns what was there before.
TESSERA_HD uint32_t atomic_exchange(uint32_t& at, uint32_t next) {
#ifdef __CUDA_ARCH__
  return atomicExch(&at, next);
#else
  return std::atomic_ref(at).exchange(next, std::memory_order_relaxed);
#endif
}

/// Sets bits; returns what was there before.
TESSERA_HD uint32_t atomic_or(uint32_t& at, uint32_t bits) {
#ifdef __CUDA_ARCH__
  return atomicOr(&at, bits);
#else
  return std::atomic_ref(at).fetch_or(bits, std::memory_order_relaxed);
#endif
}

/// Reads what other items of the same launch may be writing.
template <class T>
TESSERA_HD T atomic_load(T& from) {
#ifdef __CUDA_ARCH__
  return *static_cast<volatile T*>(&from);
#else
  return std::atomic_ref(from).load(std::memory_order_relaxed);
#endif
}

// What lanes of a warp do together. Which lanes that are does not matter to a result; on the host each is alone.

/// The next free place of a list, for each lane that calls; one atomic operation for all of them that ask for the same list.
TESSERA_HD uint32_t append(uint32_t& length) {
#ifdef __CUDA_ARCH__
  const unsigned lane = threadIdx.x & 31, same = __match_any_sync(__activemask(), reinterpret_cast<unsigned long long>(&length));
  const int leader = __ffs(static_cast<int>(same)) - 1;
  uint32_t first = 0;
  if (static_cast<int>(lane) == leader)
    first = atomicAdd(&length, static_cast<uint32_t>(__popc(same)));
  return __shfl_sync(same, first, leader) + static_cast<uint32_t>(__popc(same & ((1u << lane) - 1)));
#else
  return atomic_add(length, 1u);
#endif
}

/// Adds up the sums of neighbouring lanes that call with the same key, modulo 2^32 each. True for the one lane of them that has
/// the result. All lanes of a warp that are at work at all must call it together.
template <int N>
TESSERA_HD bool add_up_run([[maybe_unused]] uint64_t key, [[maybe_unused]] uint32_t (&sums)[N]) {
#ifdef __CUDA_ARCH__
  const unsigned active = __activemask(), lane = threadIdx.x & 31;
  const auto before = __shfl_up_sync(active, static_cast<unsigned long long>(key), 1);
  const bool first = lane == 0 || (active >> (lane - 1) & 1) == 0 || before != key;
  const unsigned firsts = __ballot_sync(active, first);
  const unsigned after = lane == 31 ? 0 : (firsts | ~active) >> (lane + 1); // where the next run, or none, begins
  const unsigned run = after != 0 ? static_cast<unsigned>(__ffs(static_cast<int>(after))) : 32 - lane;
  for (unsigned step = 1; step < 32; step *= 2)
    for (uint32_t& sum : sums) {
      const uint32_t further = __shfl_down_sync(active, sum, step);
      sum += step < run ? further : 0;
    }
  return first;
#else
  return true;
#endif
}

/// Number of set bits.
TESSERA_HD uint32_t count_bits(uint32_t bits) {
#ifdef __CUDA_ARCH__
  return static_cast<uint32_t>(__popc(bits));
#else
  return static_cast<uint32_t>(std::popcount(bits));
#endif
}

/// Place of the lowest set bit; there must be one.
TESSERA_HD uint32_t lowest_bit(uint32_t bits) {
#ifdef __CUDA_ARCH__
  return static_cast<uint32_t>(__ffs(static_cast<int>(bits)) - 1);
#else
  return static_cast<uint32_t>(std::countr_zero(bits));
#endif
}

} // namespace tessera::cuda
