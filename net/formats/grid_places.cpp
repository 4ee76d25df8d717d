#include "net/formats/grid_places.hpp"

#include "gpu/shared/lattice.hpp"

#include <cmath>
#include <stdexcept>
#include <string>

namespace tessera {

lattice_edge edge_of(uint64_t vertex_key) {
  const auto block = [&](int shift) {
    return (static_cast<int32_t>(vertex_key >> shift & 0x1ffff) - (lattice::map_limit >> 3)) * lattice::block_edge;
  };
  const auto place = static_cast<int32_t>(vertex_key >> 2 & 511);
  return {{block(11) + (place & 7), block(28) + (place >> 3 & 7), block(45) + (place >> 6)},
          static_cast<int32_t>(vertex_key & 3)};
}

std::vector<int32_t> grid_places(const mesh& m, float quantum_m) {
  // In double, and from the coordinate alone.
  std::vector<int32_t> places(m.positions.size());
  const auto step = static_cast<double>(quantum_m);
  for (size_t i = 0; i < places.size(); ++i) {
    const auto steps = static_cast<double>(m.positions[i]) / step;
    // Half of the range of int32: Draco takes differences.
    if (!(std::abs(steps) < 0x1p30 - 0.5))
      throw std::invalid_argument("mesh: coordinate " + std::to_string(m.positions[i]) + " m is more than 2^30 steps of "
                                  + std::to_string(quantum_m) + " m from the origin");
    places[i] = static_cast<int32_t>(steps + std::copysign(0.5, steps)); // std::round is a call for each
  }
  if (m.keys.size() != places.size() / 3)
    return places; // nothing says on which edges they lie
  constexpr auto steps_per_voxel = static_cast<int32_t>(patch_steps_per_voxel);
  for (size_t v = 0; v < m.keys.size(); ++v) {
    const auto edge = edge_of(m.keys[v]);
    if (edge.axis > 2)
      continue;
    auto* place = &places[3 * v];
    int32_t from[3];
    for (size_t a = 0; a < 3; ++a)
      from[a] = place[a] - steps_per_voxel * edge.at[a];
    const auto own = static_cast<size_t>(edge.axis);
    // Of other meshes, and where floats are coarser than the grid, nothing is moved.
    if (from[(own + 1) % 3] != 0 || from[(own + 2) % 3] != 0)
      continue;
    if (from[own] == 0)
      ++place[own];
    else if (from[own] == steps_per_voxel)
      --place[own];
  }
  return places;
}

} // namespace tessera
