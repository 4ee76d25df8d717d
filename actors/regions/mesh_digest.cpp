#include "actors/regions/mesh_digest.hpp"

#include "messages/xxh3.hpp"

#include <array>

namespace tessera {

mesh_digest digest_of(const mesh& surface) {
  const auto one = [](const auto& items) { return XXH3_128bits(items.data(), items.size() * sizeof(items[0])); };
  const std::array all{one(surface.positions), one(surface.normals), one(surface.colours), one(surface.keys),
                       one(surface.indices)};
  const auto sum = one(all);
  return {sum.low64, sum.high64};
}

} // namespace tessera
