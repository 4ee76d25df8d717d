#pragma once

#include "gpu/cpu/block_pool.hpp"
#include "gpu/fields.hpp"
#include "gpu/map_settings.hpp"
#include "gpu/shared/walk.hpp"
#include "messages/ids.hpp"
#include "messages/pose.hpp"
#include "messages/ray.hpp"

#include <array>
#include <exception>
#include <optional>
#include <span>
#include <vector>

namespace tessera::cpu {

/// One keyframe's rays for one region.
struct ray_job {
  std::span<const ray> rays;
  pose world_from_camera;
  int32_t sign = 1; ///< +1 adds them, -1 takes them away
};

/// What of a block changed: bit 0, something; bits 1 + 2 * axis and 2 + 2 * axis, something in the first or last layer along the
/// axis.
using block_changes = uint8_t;

/// The field of one region on the CPU: the sums of its voxels, by block, and which of them changed. Not thread-safe.
class region_field {
public:
  region_field(const map_settings& map, region_key key, block_pool& pool);
  region_field(const region_field&) = delete;
  region_field& operator=(const region_field&) = delete;

  /// Adds (or takes away) a job. On std::bad_alloc the field is as before.
  void integrate(const ray_job& job);
  /// Takes back a job that integrate() did, and gives up the blocks in which nothing is. Blocks that have gone since are made
  /// anew, past the cap. Throws std::bad_alloc if the machine has no memory: the field is wrong then.
  void undo(const ray_job& job);
  /// Hashes and counts the region's own blocks: once after each change. Its bytes are those of all blocks.
  [[nodiscard]] field_stats stats() const;
  /// Blocks that the last integrate() made; when memory ran out, also those that it lacked.
  [[nodiscard]] size_t fresh_blocks() const { return fresh_.size() + lacked_count_; }
  /// Blocks that integrate() would make. The field stays as it is.
  size_t count_fresh_blocks(const ray_job& job);
  /// Whether there is no block.
  [[nodiscard]] bool empty() const;
  [[nodiscard]] region_image image() const;
  /// Makes a new field what a good image says. Throws std::bad_alloc: the field is good for nothing then.
  void load(const region_image& image);
  /// Adds what a good image says. On std::bad_alloc the field is as before.
  void add(const region_image& image);

  // What a surface is made of.
  /// Blocks along an axis, the apron's included. A block's slot is (bz * blocks + by) * blocks + bx.
  [[nodiscard]] int32_t blocks() const { return blocks_; }
  /// The region's first voxel.
  [[nodiscard]] const std::array<int32_t, 3>& origin() const { return origin_; }
  /// Null if there is no such block.
  [[nodiscard]] const block* at(int32_t bx, int32_t by, int32_t bz) const;
  [[nodiscard]] size_t slot(int32_t bx, int32_t by, int32_t bz) const {
    return static_cast<size_t>((bz * blocks_ + by) * blocks_ + bx);
  }
  /// By slot: what changed since forget_changes() was called last.
  [[nodiscard]] const std::vector<block_changes>& changes() const { return changes_; }
  void forget_changes();
  /// Brings the signs in blocks that changed up to date.
  void update_signs();

private:
  struct walk_batch;
  struct walk_samples;
  void setup(const walk_frame& frame, std::span<const ray> rays, int32_t sign, walk_batch& out) const;
  static void find_samples(const walk_frame& frame, const walk_batch& rays, size_t i, int32_t k, int32_t sign, walk_samples& out);
  void locate(walk_samples& samples);
  void add(const walk_samples& samples);
  void apply(const ray_job& job, int32_t sign);
  block& make_block(size_t slot);
  void begin_job();
  void lack(size_t slot);
  [[nodiscard]] field_stats make_stats() const;

  map_settings map_;
  block_pool& pool_;
  int32_t edge_;                  ///< voxels of the region along an axis
  int32_t reach_;                 ///< edge + apron
  int32_t blocks_;                ///< blocks along an axis, apron included
  std::array<int32_t, 3> origin_; ///< of the region, in voxels
  std::vector<block_handle> field_;
  std::vector<block_changes> changes_; ///< by slot
  std::vector<size_t> fresh_;          ///< slots made by the job under way
  std::exception_ptr full_;            ///< memory ran out in the job under way
  std::vector<bool> lacked_;           ///< by slot: the job under way writes to it, and there was no memory for a block
  size_t lacked_count_ = 0;
  mutable std::optional<field_stats> stats_; ///< nothing if the field changed since
  bool past_the_cap_ = false;                ///< it may make blocks whatever the cap says
};

} // namespace tessera::cpu
