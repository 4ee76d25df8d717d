#pragma once

#include "actors/base/log.hpp"
#include "actors/intake/input_policy.hpp"
#include "actors/intake/keyframe_check.hpp"
#include "actors/map/retention.hpp"
#include "actors/regions/encoder.hpp"
#include "actors/regions/told_surfaces.hpp"
#include "actors/store/gone_ids.hpp"
#include "actors/store/keyframe_store.hpp"
#include "actors/store/region_snapshots.hpp"
#include "gpu/fields.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace tessera {

/// Everything that a service is told when it starts.
struct service_config {
  map_settings map;
  /// Regions and keyframes that the CPU's fields work on at once, and surfaces that are encoded at once.
  uint32_t threads = 2;
  /// GPUs that hold the fields, each its share of the regions; most_shares at most. None, or when all have failed: the CPU. They
  /// answer in threads of their own: whoever starts the service holds on to them until it has ended, and lets go of them then.
  std::vector<std::shared_ptr<async_fields>> gpus;
  /// Cap of the memory of the CPU's fields, bytes; 0: none. A keyframe that does not fit is not taken, as a whole: not now.
  uint64_t device_bytes = 0;
  /// Rays kept in memory, bytes; beyond it the oldest go to a file in `store_folder` (empty: the system's folder for temporary
  /// files).
  uint64_t store_bytes = uint64_t{256} << 20;
  std::string store_folder;
  /// Cap of the memory of encoded patches, bytes; 0: none. What is beyond is encoded again when somebody wants it.
  uint64_t patch_bytes = 0;
  /// Retractions of keyframes that never came which are remembered, and as many ids of keyframes that went, and groups without
  /// keyframes that were moved.
  size_t remembered = default_remembered;
  /// Keyframes under way at once, for each device that holds the map.
  uint32_t credit = 8;
  /// What stays in the map at most: the oldest keyframes beyond it are forgotten.
  retention_limits retain;
  input_policy policy = input_policy::block;
  keyframe_limits limits;
  /// Least time between two patches of a region; 0: as fast as it goes.
  std::chrono::milliseconds patch_interval{0};
  /// Least time between two surfaces of a region while nobody wants one.
  std::chrono::milliseconds unwanted_interval{1000};
  /// How long an actor waits for another's answer; except for a device's: that comes, or the device ends.
  std::chrono::milliseconds request_timeout{120'000};
  /// What has work and has not advanced for so long is stalled.
  std::chrono::milliseconds stall_after{10'000};
  encoder_function encode;
  cells_function encode_cells; ///< null: all viewers get what `encode` makes
  /// Names this run; empty: a random name, or that of `told`.
  std::string epoch;
  /// What earlier processes told viewers, and where it is kept what this one tells; null: versions are of this run alone.
  std::shared_ptr<told_surfaces> told;
  /// How the CPU's fields are made. Tests put others here.
  std::function<std::shared_ptr<async_fields>(const map_settings&, const cpu_options&)> make_cpu = make_cpu_fields;
  /// What keeps keyframes: a journal, say. None: memory and a temporary file (store_bytes, store_folder, remembered).
  std::function<std::shared_ptr<keyframe_store>()> make_store;
  /// Where snapshots of regions are kept beside a journal; null: nowhere.
  std::shared_ptr<region_snapshots> snapshots;
  /// A region's snapshot is taken when it has not changed for so long; if it changes again and again, after twelve times as long.
  std::chrono::milliseconds snapshot_after{5'000};
  log_function log;
  /// Called once, with the reason, when an actor is lost that cannot be started again: the service must end. From any thread;
  /// must not block.
  std::function<void(const std::string&)> on_lost;
  /// Runs the partitioner, through which everything goes, the keyframe store's disk work, the CPU's fields and the encoders in
  /// threads of their own. Off under a test scheduler: then surfaces wait in `service::encoders` until the test has them encoded.
  bool own_threads = true;
};

/// Keyframes that a service has under way at once.
inline uint32_t credit_of(const service_config& config) {
  return config.credit * static_cast<uint32_t>(std::max<size_t>(1, config.gpus.size()));
}

} // namespace tessera
