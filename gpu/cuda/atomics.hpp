#pragma once
// Atomic operations of kernels, for the device and, so that kernels can be tested without one, for the host. All are relaxed:
// launches of one stream follow each other, and within a launch nothing depends on an order.

#include "gpu/shared/portable.hpp"

#include <cstdint>

#ifndef __CUDA_ARCH__
#include <atomic>
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

/// The next free place of a list. All appends of a kernel come through here: the place to add up a warp's requests first.
TESSERA_HD uint32_t append(uint32_t& length) {
  return atomic_add(length, 1u);
}

} // namespace tessera::cuda
