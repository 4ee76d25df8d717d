#pragma once

#include "gpu/cpu/marching_cubes_surface.hpp"
#include "gpu/cpu/region_field.hpp"

#include <memory>

namespace tessera::cpu {

/// A region of the index: its field, and the surface that is made of it. Not thread-safe.
class region_entry {
public:
  region_entry(const map_settings& map, region_key key, block_pool& pool) : field(map, key, pool), surface_(map.voxel_m, pool) {}

  region_field field;

  /// The region's mesh. Throws std::bad_alloc.
  std::shared_ptr<const mesh> extract() {
    field.update_signs();
    auto out = surface_.extract(field);
    field.forget_changes(); // only now: what memory ran out for is meshed the next time
    return out;
  }
  /// Of the surface, as of the last extraction.
  [[nodiscard]] uint64_t surface_bytes() const { return surface_.bytes(); }
  /// Those of the field. Their bytes are those of all blocks and, as of the last extraction, of the surface.
  [[nodiscard]] field_stats stats() const {
    auto out = field.stats();
    out.bytes += surface_.bytes();
    return out;
  }

private:
  marching_cubes_surface surface_;
};

} // namespace tessera::cpu
