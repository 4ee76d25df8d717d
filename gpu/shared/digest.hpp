#pragma once
// The digest of a block's place and content, of which the map hash is the sum (docs/field.md, "Hash").

#include "gpu/shared/portable.hpp"

#include <cstdint>

namespace tessera {

/// The finalizer of splitmix64 (Steele, Lea, Flood 2014): a bijection of 64-bit words.
TESSERA_HD uint64_t mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

struct digest128 {
  uint64_t hi = 0, lo = 0;
};

/// What one voxel adds to its block's digest. (x, y, z) are the voxel's own coordinates. All-zero voxels must not be added.
TESSERA_HD digest128 voxel_digest(int32_t x, int32_t y, int32_t z, uint64_t w0, uint64_t w1, uint64_t w2) {
  const uint64_t place = static_cast<uint64_t>(static_cast<uint32_t>(x) & 0x1fffff)
                         | static_cast<uint64_t>(static_cast<uint32_t>(y) & 0x1fffff) << 21
                         | static_cast<uint64_t>(static_cast<uint32_t>(z) & 0x1fffff) << 42;
  const uint64_t seeds[2] = {0x9e3779b97f4a7c15u, 0xc2b2ae3d27d4eb4fu};
  uint64_t lanes[2];
  for (int i = 0; i < 2; ++i) {
    uint64_t h = mix64(place + seeds[i]);
    h = mix64(h ^ w0) + seeds[i];
    h = mix64(h ^ w1) + seeds[i];
    lanes[i] = mix64(h ^ w2);
  }
  return {lanes[0], lanes[1]};
}

} // namespace tessera
