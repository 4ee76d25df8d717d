#pragma once
// Maps on the CPU that are compared, and keyframes for them.

#include "random_map.hpp"

#include <random>
#include <vector>

namespace tessera::test {

/// Hash and surface of all regions that another world has, too.
inline void check_same(const world& a, const world& b) {
  CHECK(a.stats().hash == b.stats().hash);
  CHECK(a.stats().blocks == b.stats().blocks);
  CHECK(weld(a.meshes()) == weld(b.meshes()));
}

struct some_keyframes {
  unsigned seed = std::random_device{}();
  std::mt19937 random{seed};
  std::vector<keyframe> frames;
  explicit some_keyframes(int count) {
    while (count-- > 0)
      frames.push_back(random_keyframe(random));
  }
};

} // namespace tessera::test
