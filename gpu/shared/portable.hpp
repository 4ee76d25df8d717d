#pragma once
// Functions of the reference path compile as host and as device code. They use integers, and of floats only + - * / sqrt floor,
// never contracted, so that every compiler and device gives the same bits (docs/field.md).

#ifdef __CUDACC__
#define TESSERA_HD __host__ __device__ inline
#else
#define TESSERA_HD inline
#endif
/// Also where the compiler would rather call: the caller may be compiled for another processor (gpu/cpu/clones.hpp).
#ifdef __CUDACC__
#define TESSERA_HD_INLINED __host__ __device__ __forceinline__
#else
#define TESSERA_HD_INLINED [[gnu::always_inline]] inline
#endif

namespace tessera {

/// Like &&, but evaluates all: loops of it have no branches and vectorise.
template <class... Bool>
TESSERA_HD bool all_of(Bool... each) {
  return (static_cast<int>(each) & ...) != 0;
}

} // namespace tessera
