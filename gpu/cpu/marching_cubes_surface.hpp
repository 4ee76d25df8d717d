#pragma once

#include "gpu/cpu/block_pool.hpp"
#include "gpu/cpu/region_field.hpp"
#include "messages/map.hpp"

#include <array>
#include <cstdint>
#include <memory>
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

/// The surface of one region by marching cubes (docs/field.md, "Extract"): keeps the meshes of blocks, and makes only those near
/// a change again. Not thread-safe.
class marching_cubes_surface {
public:
  /// What it holds counts as `memory` of the map.
  marching_cubes_surface(float voxel_m, block_pool& memory) : voxel_m_(voxel_m), memory_(memory) {}
  ~marching_cubes_surface() { memory_.recount(bytes_, 0); }
  marching_cubes_surface(const marching_cubes_surface&) = delete;
  marching_cubes_surface& operator=(const marching_cubes_surface&) = delete;

  /// The region's mesh, made again where the field says that it changed; its signs must be up to date. The field is the same each
  /// time. Throws std::bad_alloc: the changes are still to be meshed then.
  std::shared_ptr<const mesh> extract(const region_field& field);
  /// Memory of all meshes, as of the last extraction.
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

private:
  void mesh_block(const region_field& field, int32_t bx, int32_t by, int32_t bz);
  [[nodiscard]] std::shared_ptr<const mesh> join(const region_field& field);

  float voxel_m_;
  block_pool& memory_;
  std::vector<std::unique_ptr<block_mesh>> blocks_; ///< by slot
  uint64_t bytes_ = 0;                              ///< of all in blocks_ and of mesh_, as the pool was told
  std::shared_ptr<const mesh> mesh_ = std::make_shared<const mesh>();
};

} // namespace tessera::cpu
