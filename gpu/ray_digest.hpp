#pragma once
// What is remembered of a keyframe's rays where the rays themselves are not kept.

#include "gpu/shared/digest.hpp"
#include "messages/ray.hpp"

#include <bit>
#include <cstdint>
#include <span>

namespace tessera {

/// The same for the same rays in any order.
struct ray_digest {
  uint64_t rays = 0, hi = 0, lo = 0;
  friend bool operator==(const ray_digest&, const ray_digest&) = default;
};

inline ray_digest digest_of(std::span<const ray> rays) {
  struct words {
    uint64_t first, second;
  };
  ray_digest out{rays.size()};
  for (const auto& r : rays) {
    const auto [first, second] = std::bit_cast<words>(r);
    out.hi += mix64(mix64(first + 0x9e3779b97f4a7c15u) ^ second);
    out.lo += mix64(mix64(first + 0xc2b2ae3d27d4eb4fu) ^ second);
  }
  return out;
}

} // namespace tessera
