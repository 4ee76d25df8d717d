#include "actors/map/same_rays.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace tessera {

namespace {

using ray_bits = std::array<uint64_t, 2>;
static_assert(sizeof(ray_bits) == sizeof(ray));

std::vector<ray_bits> sorted(const std::vector<ray>& rays) {
  std::vector<ray_bits> out(rays.size());
  if (!rays.empty())
    std::memcpy(out.data(), rays.data(), rays.size() * sizeof(ray));
  std::sort(out.begin(), out.end());
  return out;
}

} // namespace

bool same_rays(const std::vector<ray>& a, const std::vector<ray>& b) {
  return a.size() == b.size() && (a == b || sorted(a) == sorted(b));
}

} // namespace tessera
