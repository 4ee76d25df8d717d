#pragma once

#include "gpu/mapping.hpp"
#include "messages/ids.hpp"
#include "messages/keyframe.hpp"
#include "messages/map.hpp"
#include "messages/ray.hpp"

#include <memory>
#include <span>
#include <string>
#include <vector>

namespace tessera {

/// What making rays did with a keyframe's points. valid + the four others = all points.
struct ray_counts {
  uint64_t valid = 0, not_finite = 0, out_of_range = 0, low_confidence = 0;
  uint64_t beyond_map = 0; ///< more than 2^20 voxels from the camera on an axis
};

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
std::vector<ray> make_rays(const mapping& map, const keyframe_body& body, const pose& world_from_camera, ray_counts& counts);

/// Sorts rays by the regions whose field (apron included) they write to. Rays whose band leaves the map (2^19 voxels from the
/// origin) are left out; `beyond` counts them. Throws keyframe_too_large.
partition partition_rays(const mapping& map, std::span<const ray> rays, const pose& world_from_camera, uint64_t& beyond);

/// The fields of all regions on one device. Throws std::bad_alloc when the memory cap is reached (nothing is half done),
/// std::runtime_error when the device fails.
///
/// Threads: any, as long as no two calls for the same region run at once.
class backend {
public:
  virtual ~backend() = default;
  /// cpu, or the GPU's name.
  [[nodiscard]] virtual std::string name() const = 0;
  /// Applies all jobs (sign +1 or -1) to the region's field.
  virtual void integrate(region_key region, std::span<const ray_job> jobs) = 0;
  /// Re-meshes what changed and returns the region's whole mesh.
  virtual std::shared_ptr<const mesh> extract(region_key region) = 0;
  /// Hashes and counts the region's own blocks. Its bytes are all that the region holds.
  [[nodiscard]] virtual field_stats stats(region_key region) const = 0;
  /// Forgets the region.
  virtual void drop(region_key region) = 0;
};

/// Makes the reference backend: every region's field in host memory, `cap_bytes` in all (0: no cap).
std::unique_ptr<backend> make_cpu_backend(const mapping& map, uint64_t cap_bytes = 0);

/// Joins region meshes into one mesh of the whole map in canonical order: shared border vertices become one. The result does not
/// depend on the cut.
mesh weld(std::span<const region_mesh> regions);

} // namespace tessera
