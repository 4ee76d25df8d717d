#pragma once

#include "gpu/fields.hpp"
#include "gpu/map_settings.hpp"
#include "messages/ids.hpp"
#include "messages/keyframe.hpp"
#include "messages/ray.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// A part of a batch that touches one region.
struct region_rays {
  region_key region;
  uint32_t first = 0, count = 0;
};

/// A batch of rays in region order, with the place of each region's part. A ray that touches several regions stands in each part.
struct partition {
  ray_batch batch;
  std::vector<region_rays> parts;
};

/// Makes a keyframe's rays (docs/field.md, "Rays"). Never throws for bad points: they are counted and left out.
/// Throws keyframe_too_large (gpu/bounds.hpp) as soon as it is certain that partition_rays() would.
/// The body's torn() is the caller's to ask afterwards, then too. Threads: any; scratch memory is per thread.
std::vector<ray> make_rays(const map_settings& map, const keyframe_body& body, const pose& world_from_camera, ray_counts& counts);

/// Sorts rays by the regions whose field (apron included) they write to. Rays whose band leaves the map (2^19 voxels from the
/// origin) are left out; `beyond` counts them. Throws keyframe_too_large.
partition partition_rays(const map_settings& map, std::span<const ray> rays, const pose& world_from_camera, uint64_t& beyond);

} // namespace tessera
