#include "gpu/region_image.hpp"

#include "gpu/shared/lattice.hpp"

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <string>

namespace tessera {

void check_image(const map_settings& map, region_key region, const region_image& image) {
  const auto edge = static_cast<int32_t>(map.region_voxels);
  const int32_t first = lattice::floor_div(-lattice::map_limit, edge), last = lattice::floor_div(lattice::map_limit - 1, edge);
  for (const int32_t at : {region.x, region.y, region.z})
    if (at < first || at > last)
      throw std::invalid_argument("region " + std::to_string(region.x) + ' ' + std::to_string(region.y) + ' '
                                  + std::to_string(region.z) + " lies beyond the map, whose regions are " + std::to_string(first)
                                  + " to " + std::to_string(last) + " on each axis");
  if (image.voxels.size() != image.blocks.size() * lattice::block_voxels)
    throw std::invalid_argument("a region's image has " + std::to_string(image.voxels.size()) + " voxels for "
                                + std::to_string(image.blocks.size()) + " blocks of 512");
  if (std::adjacent_find(image.blocks.begin(), image.blocks.end(), std::greater_equal<>()) != image.blocks.end())
    throw std::invalid_argument("the blocks of a region's image do not ascend");
  const uint64_t blocks = map.region_voxels / 8 + 1, table = blocks * blocks * blocks;
  if (!image.blocks.empty() && image.blocks.back() >= table)
    throw std::invalid_argument("a region's image has block " + std::to_string(image.blocks.back()) + " of "
                                + std::to_string(table));
}

region_image sum_of(const region_image& a, const region_image& b) {
  constexpr size_t size = lattice::block_voxels;
  region_image out;
  std::set_union(a.blocks.begin(), a.blocks.end(), b.blocks.begin(), b.blocks.end(), std::back_inserter(out.blocks));
  out.voxels.resize(out.blocks.size() * size);
  for (const auto* part : {&a, &b}) {
    size_t to = 0;
    for (size_t from = 0; from < part->blocks.size(); ++from) {
      while (out.blocks[to] != part->blocks[from])
        ++to;
      for (size_t i = 0; i < size; ++i) {
        const auto& more = part->voxels[from * size + i];
        auto& sum = out.voxels[to * size + i];
        sum = {sum.w0 + more.w0, sum.w1 + more.w1, sum.w2 + more.w2};
      }
    }
  }
  return out;
}

} // namespace tessera
