#include "gpu/region_slices.hpp"

#include "gpu/shared/lattice.hpp"
#include "gpu/shared/vertex.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace tessera {

namespace {

using lattice::block_edge;
using lattice::block_voxels;

struct colour_sums {
  float values[3];
  friend colour_sums operator/(colour_sums of, float by) {
    for (auto& one : of.values)
      one /= by;
    return of;
  }
};

void put(region_slice& out, size_t at, const voxel_words& voxel) {
  out.distances[at] = mean_distance(voxel.w0, voxel.w1) / static_cast<float>(distance_units);
  out.weights[at] = weight_sum(voxel.w1);
  const auto colour = mean_colour<colour_sums>(voxel.w0, voxel.w1, voxel.w2);
  for (size_t i = 0; i < 3; ++i)
    out.colours[3 * at + i] = static_cast<uint8_t>(std::clamp(colour.values[i] + 0.5f, 0.f, 255.f));
}

} // namespace

uint64_t most_slice_regions(const map_settings& map) {
  return most_slice_voxels / (uint64_t{map.region_voxels} * map.region_voxels);
}

bool goes_through(const map_settings& map, const field_plane& plane, region_key region) {
  const auto edge = static_cast<int32_t>(map.region_voxels);
  const auto along = axes_along(plane.axis);
  if (plane.axis > 2 || lattice::floor_div(plane.layer, edge) != on_axis(region, plane.axis))
    return false;
  for (size_t i = 0; i < 2; ++i) {
    const auto first = int64_t{on_axis(region, along[i])} * edge;
    if (plane.high[i] < first || plane.low[i] >= first + edge)
      return false;
  }
  return true;
}

region_slice slice_of(const map_settings& map, region_key region, const region_image& image, const field_plane& plane) {
  const auto edge = static_cast<int32_t>(map.region_voxels), blocks = edge / block_edge;
  const auto along = axes_along(plane.axis);
  const int32_t layer = plane.layer - on_axis(region, plane.axis) * edge;
  region_slice out{region, {}, {}, {}};
  for (size_t i = 0; i < image.blocks.size(); ++i) {
    const auto slot = static_cast<int32_t>(image.blocks[i]);
    const std::array<int32_t, 3> block{slot % (blocks + 1), slot / (blocks + 1) % (blocks + 1),
                                       slot / (blocks + 1) / (blocks + 1)};
    if (block[plane.axis] != layer / block_edge || block[along[0]] == blocks || block[along[1]] == blocks)
      continue; // beside the plane, or of the apron
    for (int32_t v = 0; v < block_edge; ++v)
      for (int32_t u = 0; u < block_edge; ++u) {
        std::array<int32_t, 3> at{};
        at[plane.axis] = layer % block_edge;
        at[along[0]] = u;
        at[along[1]] = v;
        const auto& voxel = image.voxels[i * block_voxels + static_cast<size_t>(lattice::voxel_in_block(at[0], at[1], at[2]))];
        if (sample_count(voxel.w0) == 0)
          continue;
        if (out.weights.empty()) {
          const auto voxels = static_cast<size_t>(edge) * static_cast<size_t>(edge);
          out.distances.resize(voxels);
          out.weights.resize(voxels);
          out.colours.resize(3 * voxels);
        }
        const auto column = block[along[0]] * block_edge + u, row = block[along[1]] * block_edge + v;
        put(out, static_cast<size_t>(row * edge + column), voxel);
      }
  }
  return out;
}

void slice_region(async_fields& fields, const map_settings& map, region_key region, const field_plane& plane,
                  std::function<void(region_slice, std::exception_ptr)> answer) {
  fields.export_region(region,
                       [map, region, plane, answer = std::move(answer)](const region_image& image, std::exception_ptr failure) {
                         region_slice out{region, {}, {}, {}};
                         if (!failure)
                           try {
                             out = slice_of(map, region, image, plane);
                           } catch (...) {
                             failure = std::current_exception();
                           }
                         answer(std::move(out), failure);
                       });
}

} // namespace tessera
