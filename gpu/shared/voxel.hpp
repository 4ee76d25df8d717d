#pragma once
// The state of a voxel: three 64-bit words that add up. Nothing else is state.

#include "gpu/shared/portable.hpp"

#include <cstdint>

namespace tessera {

/// What one sample of a ray adds to a voxel (modulo 2^64 each); retracting subtracts the same.
///
/// word 0: bits 63..24 sum of distance * weight (signed), bits 23..0 number of samples
/// word 1: bits 63..32 sum of red,   bits 31..0 sum of weight
/// word 2: bits 63..32 sum of blue,  bits 31..0 sum of green
///
/// With |distance| <= 255 and weight <= 124 no field overflows before 2^24 samples: 16 a keyframe for a million keyframes.
struct voxel_words {
  uint64_t w0 = 0, w1 = 0, w2 = 0;
};

/// Distances are kept in 1/255 of the truncation.
inline constexpr int32_t distance_units = 255;

TESSERA_HD voxel_words pack_sample(int32_t distance, int32_t weight, uint32_t r, uint32_t g, uint32_t b) {
  return {(static_cast<uint64_t>(static_cast<int64_t>(distance) * weight) << 24) + 1,
          static_cast<uint64_t>(r) << 32 | static_cast<uint32_t>(weight), static_cast<uint64_t>(b) << 32 | g};
}
TESSERA_HD int64_t distance_sum(uint64_t w0) {
  return static_cast<int64_t>(w0) >> 24;
}
TESSERA_HD uint32_t sample_count(uint64_t w0) {
  return static_cast<uint32_t>(w0) & 0xffffff;
}
TESSERA_HD uint32_t weight_sum(uint64_t w1) {
  return static_cast<uint32_t>(w1);
}

} // namespace tessera
