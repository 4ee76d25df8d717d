#pragma once

#include "toy_service.hpp"

#include <map>

namespace tessera::toy {

/// What viewers must be shown: each region's triangles, as the field gives them; empty regions left out.
inline std::map<region_key, uint32_t> wanted(stepped_service& s) {
  auto meshes = s.ask<std::vector<region_mesh>>(s.running.partitioner.get(), mesh_atom::value);
  s.run();
  for (int i = 0; i < 100 && !*meshes; ++i)
    s.tick(std::chrono::milliseconds{250});
  std::map<region_key, uint32_t> out;
  for (const auto& m : meshes->value())
    if (m.surface->triangles() > 0)
      out[m.region] = static_cast<uint32_t>(m.surface->triangles());
  return out;
}

} // namespace tessera::toy
