#pragma once
// The fields of all regions on one device, the CPU or a GPU. docs/gpu.md tells how they lie on a GPU.

#include "gpu/breakage.hpp"
#include "gpu/map_settings.hpp"
#include "gpu/shared/voxel.hpp"
#include "messages/ids.hpp"
#include "messages/keyframe.hpp"
#include "messages/map.hpp"
#include "messages/ray.hpp"

#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tessera {

/// What making rays did with a keyframe's points. valid + the four others = all points.
struct ray_counts {
  uint64_t valid = 0, not_finite = 0, out_of_range = 0, low_confidence = 0;
  uint64_t beyond_map = 0; ///< more than 2^20 voxels from the camera on an axis
};

/// Where a device's blocks are.
struct memory_status {
  bool has_pool = false;                          ///< of a fixed size. The CPU has none, and moves nothing: its blocks are in use
  uint64_t blocks = 0, free_blocks = 0;           ///< of the pool
  uint64_t regions_here = 0, regions_evicted = 0; ///< on the device; in host memory
  uint64_t evicted_bytes = 0;                     ///< host memory in use
  uint64_t evictions = 0, page_ins = 0;           ///< so far, in regions
  uint64_t batches = 0, kernels = 0;              ///< so far
};

/// A keyframe's memory changed while it was read; it says how.
struct torn_keyframe : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Peer rays cannot be read: the device that made them failed. This one did not.
struct lost_rays : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The device's fields are lost, through no fault of what was asked: there was no memory to leave them whole.
struct fields_lost : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Which regions a device has that shares a map with others.
struct region_share {
  uint32_t index = 0; ///< of this device
  uint32_t count = 1; ///< devices that the map began with, most_shares at most
  uint64_t lost = 0;  ///< bit i: device i is no more. The others have its regions, and keep their own. Not all are lost
  friend bool operator==(const region_share&, const region_share&) = default;
};
inline constexpr uint32_t most_shares = 64;

/// The index of the device that has a region, of those that share the map (`share.index` does not matter).
uint32_t owner_of(region_key region, const region_share& share);

/// Peer rays: those of a keyframe that one of several devices that share a map made, and that touch regions of another, its peer.
/// They lie in the memory of the device that made them, and must not outlive its fields: see close_together().
class peer_rays {
public:
  virtual ~peer_rays() = default;
  [[nodiscard]] virtual size_t size() const = 0;
};
/// By the index of the device that they are for; null for the one that made them, and for those that are lost.
using rays_for_peers = std::vector<std::shared_ptr<const peer_rays>>;

/// A keyframe to be taken whole: its points, or rays that were made of them, or a peer's rays.
struct take_request {
  std::shared_ptr<const keyframe_body> body{};  ///< its points; held until the answer
  ray_batch rays{};                             ///< if there is no body: all its rays, in any order
  std::shared_ptr<const peer_rays> from_peer{}; ///< if there is neither; let go of before the answer
  pose world_from_camera{};                     ///< m
  int32_t sign = 1;                             ///< +1 adds it; -1 takes away what was added under the same pose
  std::vector<region_key> only{};               ///< sorted; not empty: writes to these regions alone
  region_share share{};                         ///< writes to this device's regions alone
  bool keep_rays = false;                       ///< the report holds the rays
  bool mesh = false;                            ///< meshes the regions that it changed, as extract() would
  bool times = false;                           ///< the report tells how long each stage took
  /// Called before the answer, in a thread of the device, with the rays for each of its peers. Not called if the keyframe is not
  /// taken. Without it, each of them must be given the keyframe.
  std::function<void(rays_for_peers)> to_peers{};
};

/// What became of a keyframe that was taken whole.
struct take_report {
  ray_counts counts;               ///< of points; only where the rays were made
  uint64_t beyond = 0;             ///< rays that write nothing, or leave the map
  uint64_t rays = 0;               ///< of the whole keyframe
  std::vector<ray> kept;           ///< the rays, if asked for
  std::vector<region_key> regions; ///< that it touched here, sorted
  uint32_t meshed = 0; ///< keyframes whose regions were meshed with it, its own included; 0: they were with a later one's
  uint64_t vertices = 0, triangles = 0;                                ///< of the meshes of these regions
  double upload_ms = 0, rays_ms = 0, integrate_ms = 0, extract_ms = 0; ///< if asked for
  uint32_t kernels = 0, copies = 0;                                    ///< given to a GPU for it
  uint64_t bytes_up = 0, bytes_down = 0;
  uint32_t attempts = 1; ///< more than 1: regions or blocks had to be made room for first
};

/// Of what a keyframe's rays add to the regions that they touch: it grows when the same rays under the same pose add something
/// else than before, so that fields that were made by another program are told from those that this one would make.
inline constexpr uint32_t field_version = 1;

/// A region's field as one value: what goes to host memory, to another device, or to a file.
struct region_image {
  /// Which of the region's blocks there are, the apron's included, ascending: (bz * edge + by) * edge + bx, with edge =
  /// region_voxels / 8 + 1 blocks.
  std::vector<uint32_t> blocks;
  /// Of each of them its 512 voxels, x fastest, z slowest: 12,288 bytes a block.
  std::vector<voxel_words> voxels;
  [[nodiscard]] uint64_t bytes() const { return blocks.size() * sizeof(uint32_t) + voxels.size() * sizeof(voxel_words); }
};

/// How long extract_soon() lets keyframes go first.
inline constexpr std::chrono::milliseconds most_extract_wait{100};

/// The fields of all regions on one device, asked without waiting.
///
/// Each request is answered once, in a thread of the device, or before the call returns: answers must be short and must not throw
/// or wait for another request. An answer's exception is null if all is well; std::bad_alloc if there is no room (nothing was
/// changed); what take() says; anything else, fields_lost among them: the device failed, its fields are lost, and so will be what
/// follows.
///
/// Order: what is asked about one region takes effect in the order in which it was asked, but for take() and extract_soon(),
/// which take effect at some time between the request and its answer. Whoever drops, clears, counts or imports, and cares, does
/// so while no take() is under way.
///
/// Threads: any. Requests that are still waiting when the object goes are answered with an error; its last owner waits for its
/// threads, and must not be one of them.
class async_fields {
public:
  using take_done = std::function<void(take_report, std::exception_ptr)>;
  using rays_done = std::function<void(std::vector<ray>, const ray_counts&, std::exception_ptr)>;
  using mesh_done = std::function<void(std::shared_ptr<const mesh>, std::exception_ptr)>;
  using stats_done = std::function<void(const field_stats&, std::exception_ptr)>;
  using image_done = std::function<void(region_image, std::exception_ptr)>;
  using done = std::function<void(std::exception_ptr)>;

  virtual ~async_fields() = default;
  /// cpu, or the GPU's name.
  [[nodiscard]] virtual std::string name() const = 0;
  /// Adds a keyframe to all regions that it touches, or takes it away from them, as one; or changes nothing. Several are under
  /// way at once, and they may take effect in any order. The answer's exception may be torn_keyframe: its points changed while
  /// they were read; keyframe_too_large (gpu/bounds.hpp); lost_rays; std::invalid_argument: the request makes no sense, or the
  /// keyframe has more points than this device takes; among std::bad_alloc pool_too_small: it would be refused again.
  virtual void take(take_request what, take_done answer) = 0;
  /// Makes a keyframe's rays alone. Exceptions as take(). The body is held until the answer.
  virtual void rays(std::shared_ptr<const keyframe_body> body, const pose& world_from_camera, rays_done answer) = 0;
  /// The mesh of a region.
  virtual void extract(region_key region, mesh_done answer) = 0;
  /// Likewise, as it is at some time between the request and its answer: on a device that is busy, keyframes that wait come
  /// first, for most_extract_wait at most, so that many in a row cost one mesh.
  virtual void extract_soon(region_key region, mesh_done answer) { extract(region, std::move(answer)); }
  /// Hash and counts of a region's own blocks. Its bytes are all that the region holds.
  virtual void stats(region_key region, stats_done answer) = 0;
  /// Forgets a region.
  virtual void drop(region_key region, done answer) = 0;
  /// Forgets all regions. Where peer rays lie in memory of the device that made them: after the keyframes that were asked for
  /// before, which hold on to none by then.
  virtual void clear(done answer) = 0;
  /// A region's field as it is; without blocks if it holds none.
  virtual void export_region(region_key region, image_done answer) = 0;
  /// Makes a region's field what the image says. std::invalid_argument: it is none of a region of this map.
  virtual void import_region(region_key region, region_image image, done answer) = 0;
  /// Adds what the image holds to a region's field, at some time between the request and its answer, as take() adds a keyframe:
  /// so others may be under way. std::invalid_argument as import_region().
  virtual void add_region(region_key region, region_image image, done answer) = 0;
  /// As of a moment ago.
  [[nodiscard]] virtual memory_status memory() const = 0;
  /// A copy of a keyframe's points in memory from which this device reads by itself; others are copied there for each take().
  /// Must not outlive the object. Throws std::bad_alloc.
  [[nodiscard]] virtual std::shared_ptr<const keyframe_body> pin(const keyframe_body& body) = 0;
  /// Breaks the device on purpose, for drills and tests: an error is provoked, at once or by what is asked next, after which all
  /// that is asked of it fails, as if it had broken by itself. Does not wait. Throws std::runtime_error if it is broken already,
  /// std::logic_error if it cannot break.
  virtual void break_down(breakage how) = 0;
};

/// Calls that wait for the answer, and throw what it says. Never from an answer.
take_report take_and_wait(async_fields& fields, take_request what);
std::shared_ptr<const mesh> extract_and_wait(async_fields& fields, region_key region);
field_stats stats_and_wait(async_fields& fields, region_key region);
void drop_and_wait(async_fields& fields, region_key region);
region_image export_and_wait(async_fields& fields, region_key region);
void import_and_wait(async_fields& fields, region_key region, region_image image);
void add_and_wait(async_fields& fields, region_key region, region_image image);

/// Lets go of devices that shared a map, of which nobody will ask anything any more. Peer rays lie in the memory of the one that
/// made them: so all have done what they were asked, and are empty, before the first is closed.
void close_together(std::vector<std::shared_ptr<async_fields>>& devices) noexcept;

/// How the CPU's fields work.
struct cpu_options {
  uint32_t threads = 1;   ///< of its own; 0: everything is done, and answered, in the thread that asks
  uint64_t cap_bytes = 0; ///< memory of all fields and meshes; 0: no cap
};

/// The fields of the CPU: the reference. With threads of its own, keyframes' rays are made side by side, and regions are worked
/// side by side. Throws std::invalid_argument for bad settings, std::system_error if a thread cannot be started.
std::shared_ptr<async_fields> make_cpu_fields(const map_settings& map, const cpu_options& options);

} // namespace tessera
