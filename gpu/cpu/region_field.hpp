#pragma once

#include "gpu/cpu/block_pool.hpp"
#include "gpu/fields.hpp"
#include "gpu/map_settings.hpp"
#include "gpu/shared/walk.hpp"
#include "messages/ids.hpp"
#include "messages/map.hpp"
#include "messages/pose.hpp"
#include "messages/ray.hpp"

#include <array>
#include <exception>
#include <memory>
#include <span>
#include <vector>

namespace tessera::cpu {

/// A block's part of the mesh. Triangles name vertices by edge, so a neighbour can be re-meshed alone.
struct block_mesh {
  /// Which edges of the block's voxels carry a vertex: bit 3 * voxel + axis; and how many stand before each word.
  std::array<uint64_t, 24> edges{};
  std::array<uint16_t, 24> before{};
  struct vertex {
    float position[3], normal[3];
    uint8_t colour[3];
    uint16_t place; ///< voxel in the block << 2 | axis
  };
  static constexpr uint16_t foreign = 1536; ///< edges of a block
  std::vector<vertex> vertices;
  /// For each corner of each triangle: the number of a vertex of this block; or, from `foreign` on, an edge of a neighbour: which
  /// (3 bits: +x +y +z) * foreign + 3 * voxel + axis.
  std::vector<uint16_t> corners;
  /// Memory that it holds.
  [[nodiscard]] uint64_t bytes() const {
    return sizeof(block_mesh) + vertices.capacity() * sizeof(vertex) + corners.capacity() * sizeof(uint16_t);
  }
};

/// One keyframe's rays for one region.
struct ray_job {
  std::span<const ray> rays;
  pose world_from_camera;
  int32_t sign = 1; ///< +1 adds them, -1 takes them away
};

/// The field of one region on the CPU, with the meshes of its blocks. Not thread-safe.
class region_field {
public:
  region_field(const map_settings& map, region_key key, block_pool& pool);
  ~region_field() { pool_.recount(mesh_bytes_, 0); }
  region_field(const region_field&) = delete;
  region_field& operator=(const region_field&) = delete;

  /// Adds (or takes away) a job. On std::bad_alloc the field is as before.
  void integrate(const ray_job& job);
  /// Takes back a job that integrate() did, and gives up the blocks in which nothing is. Blocks that have gone since are made
  /// anew, past the cap. Throws std::bad_alloc if the machine has no memory: the field is wrong then.
  void undo(const ray_job& job);
  /// Re-meshes blocks that changed, and returns the region's mesh.
  std::shared_ptr<const mesh> extract();
  /// Hashes and counts the region's own blocks. Its bytes are those of all blocks and, as of the last extraction, of all meshes.
  [[nodiscard]] field_stats stats() const;
  /// Whether there is no block.
  [[nodiscard]] bool empty() const;
  [[nodiscard]] region_image image() const;
  /// Makes a new field what a good image says. Throws std::bad_alloc: the field is good for nothing then.
  void load(const region_image& image);

private:
  struct walk_batch;
  struct walk_samples;
  void setup(const walk_frame& frame, std::span<const ray> rays, int32_t sign, walk_batch& out) const;
  static void find_samples(const walk_frame& frame, const walk_batch& rays, size_t i, int32_t k, int32_t sign, walk_samples& out);
  void locate(walk_samples& samples);
  void add(const walk_samples& samples);
  void apply(const ray_job& job, int32_t sign);
  block& make_block(size_t slot);
  struct mesh_scratch;
  struct edge_voxels;
  void mesh_block(int32_t bx, int32_t by, int32_t bz);
  [[nodiscard]] std::shared_ptr<const mesh> join();
  /// Mean distance of the voxel before one of a block's 9^3, along an axis; `first` is the block's first voxel in the region.
  [[nodiscard]] [[gnu::noinline]] float distance_before(const int32_t* first, int place, int axis) const;
  [[nodiscard]] const block* at(int32_t bx, int32_t by, int32_t bz) const;
  [[nodiscard]] uint32_t slot(int32_t bx, int32_t by, int32_t bz) const {
    return static_cast<uint32_t>((bz * blocks_ + by) * blocks_ + bx);
  }

  map_settings map_;
  region_key key_;
  block_pool& pool_;
  int32_t edge_;                                    ///< voxels of the region along an axis
  int32_t reach_;                                   ///< edge + apron
  int32_t blocks_;                                  ///< blocks along an axis, apron included
  int32_t origin_[3];                               ///< of the region, in voxels
  std::vector<block_handle> field_;                 ///< by slot
  std::vector<std::unique_ptr<block_mesh>> meshes_; ///< by slot
  uint64_t mesh_bytes_ = 0;                         ///< of all in meshes_ and of surface_, as the pool was told
  /// By slot: bit 0, something changed; bits 1 + 2 * axis and 2 + 2 * axis, something in the first or last layer along the axis
  /// did.
  std::vector<uint8_t> dirty_;
  std::vector<size_t> fresh_; ///< slots made by the job under way
  std::exception_ptr full_;   ///< memory ran out in the job under way
  bool past_the_cap_ = false; ///< it may make blocks whatever the cap says
  std::shared_ptr<const mesh> surface_ = std::make_shared<const mesh>();
};

} // namespace tessera::cpu
