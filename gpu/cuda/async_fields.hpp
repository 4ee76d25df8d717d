#pragma once

#include "gpu/backend.hpp"

#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace tessera::cuda {

/// What a device may use.
struct field_options {
  /// Memory of blocks on the device, bytes; taken at once. At least one block.
  uint64_t pool_bytes = uint64_t{1} << 30;
  /// All memory on the device, the pool and what it takes to mesh included, bytes; 0: as much as there is.
  uint64_t device_bytes = 0;
  /// Memory on the host for regions that do not fit on the device, bytes. 0: none ever leaves.
  uint64_t host_bytes = 0;
  /// Regions on the device at once, at most; each takes 4 bytes for each block that it could have, all of them a sixteenth of the
  /// pool at most.
  uint32_t most_regions = 262144;
  /// Keyframes whose rays are made at once; each has a stream and a thread.
  uint32_t ray_lanes = 4;
  /// Threads that help to copy a keyframe's points into pinned memory.
  uint32_t copy_helpers = 0;
  /// Fills new device memory with garbage, so that what is read before it is written shows; for tests.
  bool poison = false;
};

/// Where blocks are.
struct memory_status {
  uint64_t blocks = 0, free_blocks = 0;        ///< of the pool
  uint64_t regions_here = 0, regions_away = 0; ///< on the device, in host memory
  uint64_t away_bytes = 0;                     ///< host memory in use
  uint64_t moves_out = 0, moves_in = 0;        ///< so far, in regions
  uint64_t batches = 0, kernels = 0;           ///< so far
};

/// A keyframe's memory changed while it was copied; it says how.
struct torn_keyframe : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// How a keyframe is taken whole.
struct fuse_options {
  /// Meshes the regions that it changed; their meshes stay in device memory until the next batch. Keyframes that wait at the same
  /// time are meshed, and answered, together.
  bool mesh = false;
  bool keep_rays = false; ///< the report holds the rays
  bool times = false;     ///< the report tells how long each stage took
  /// Of several devices that share a map, at most most_shares, each has those regions that owner_of() gives to its number.
  uint32_t share = 0, shares = 1;
};
inline constexpr uint32_t most_shares = 64;

/// Which of several devices that share a map has a region.
uint32_t owner_of(region_key region, uint32_t shares);

/// What became of a keyframe that was taken whole.
struct fuse_report {
  ray_counts counts;
  uint64_t beyond = 0; ///< rays that write nothing, or leave the map
  uint64_t rays = 0;
  std::vector<ray> kept;           ///< the rays, if asked for
  std::vector<region_key> regions; ///< that it touched
  uint32_t meshed = 0; ///< keyframes whose regions were meshed with it, its own included; 0: they were with a later one's
  uint64_t vertices = 0, triangles = 0;                                ///< of the meshes of these regions
  double upload_ms = 0, rays_ms = 0, integrate_ms = 0, extract_ms = 0; ///< on the device, if asked for
  uint32_t kernels = 0, copies = 0;                                    ///< given to the device for it
  uint64_t bytes_up = 0, bytes_down = 0;
  uint32_t attempts = 1; ///< more than 1: regions or blocks had to be made room for first
};

/// The fields of all regions on one device, asked without waiting. What waits at the same time is done together: a batch takes a
/// handful of launches, however many regions it is about.
///
/// Requests about one region take effect in the order they were made. Each is answered once, in a thread of the device: answers
/// must be short and must not throw or wait for another request. An answer's exception is null if all is well; std::bad_alloc if
/// neither the device nor the host has room (nothing was changed); else the device failed, the field is lost, and so will be what
/// follows.
///
/// Threads: any. Requests that are still waiting when the object goes are answered with an error.
class async_fields {
public:
  using rays_done = std::function<void(std::vector<ray>, const ray_counts&, std::exception_ptr)>;
  using mesh_done = std::function<void(std::shared_ptr<const mesh>, std::exception_ptr)>;
  using stats_done = std::function<void(const field_stats&, std::exception_ptr)>;
  using done = std::function<void(std::exception_ptr)>;

  virtual ~async_fields() = default;
  /// The device's name.
  [[nodiscard]] virtual std::string name() const = 0;
  /// Makes a keyframe's rays; independent of all regions. The body is held until the answer.
  virtual void rays(std::shared_ptr<const keyframe_body> body, const pose& world_from_camera, rays_done answer) = 0;
  /// Applies all jobs to a region, or none of them.
  virtual void integrate(region_key region, std::vector<ray_job> jobs, done answer) = 0;
  /// The mesh of a region.
  virtual void extract(region_key region, mesh_done answer) = 0;
  /// Hash and counts of a region's own blocks. Its bytes are all that the region holds.
  virtual void stats(region_key region, stats_done answer) = 0;
  /// Forgets a region.
  virtual void drop(region_key region, done answer) = 0;
  /// As of the last batch.
  [[nodiscard]] virtual memory_status memory() const = 0;
  /// Breaks the device on purpose, for drills and tests: an error is provoked after which all that is asked of it fails, as if it
  /// had broken by itself. Does not wait. Throws std::runtime_error if it is broken already.
  virtual void break_down() = 0;
};

/// Rays of a keyframe that one of several devices that share a map made, and that touch regions of another. They lie in the
/// memory of the device that made them, and must not outlive it.
class handed_rays {
public:
  virtual ~handed_rays() = default;
  [[nodiscard]] virtual size_t size() const = 0;
};

/// A device that also takes keyframes whole, for maps of which all regions lie on it, or on it and others.
class keyframe_device : public async_fields {
public:
  using fused = std::function<void(fuse_report, std::exception_ptr)>;
  /// Takes what is for each of the devices that share a map, by share; null for the device itself.
  using handed = std::function<void(std::vector<std::shared_ptr<const handed_rays>>)>;
  /// Makes a keyframe's rays and integrates them in all regions that they touch, as one, without the host in between; or changes
  /// nothing. Several are under way at once. torn_keyframe: its memory changed. The body is held until the answer.
  /// `hand_on`: called before the answer, in a thread of the device, with the rays for the other devices that share the map,
  /// unless the keyframe is not taken. Without it, each of them must be given the keyframe.
  virtual void fuse(std::shared_ptr<const keyframe_body> body, const pose& world_from_camera, fuse_options options, fused answer,
                    handed hand_on = {})
    = 0;
  /// Likewise for rays that another device made of a keyframe; counts of points and rays are in that one's report. Throws
  /// std::invalid_argument if they are from another kind of device.
  virtual void fuse_handed(std::shared_ptr<const handed_rays> rays, const pose& world_from_camera, fuse_options options,
                           fused answer)
    = 0;
  /// A copy of a keyframe's points in memory from which this device reads by itself; others are copied there for each fuse().
  /// Must not outlive the object. Throws std::bad_alloc.
  [[nodiscard]] virtual std::shared_ptr<const keyframe_body> pin(const keyframe_body& body) = 0;
};

/// The same as a backend whose calls wait.
std::unique_ptr<backend> make_waiting_backend(std::shared_ptr<async_fields> fields);
/// Likewise, for devices that share a map: regions are where owner_of() says. Throws std::invalid_argument if there is none.
std::unique_ptr<backend> make_waiting_backend(std::vector<std::shared_ptr<async_fields>> fields);

} // namespace tessera::cuda
