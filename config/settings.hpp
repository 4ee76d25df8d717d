#pragma once
// All settings as plain values. Names, units, ranges and defaults stand in one place: config/table.cpp.

#include <cstdint>
#include <optional>
#include <string>

namespace tessera::config {

/// The values of all settings. Made by resolve() or defaults(); a default-constructed one has no meaning.
struct settings {
  // map: what the field is made of
  std::optional<float> voxel_m;      ///< none: derived from the first keyframe
  std::optional<float> truncation_m; ///< none: three voxels
  uint32_t region_voxels = 0;
  float min_range_m = 0, max_range_m = 0;
  float min_confidence = 0;

  // work: with what it is made
  std::optional<uint32_t> threads; ///< none: one for each core that the process may use
  std::string backend;
  std::string gpus;                                      ///< all, how many, or which
  uint64_t memory_cap_bytes = 0;                         ///< of each device
  uint64_t memory_pool_bytes = 0, host_memory_bytes = 0; ///< of each GPU
  uint32_t streams = 0;                                  ///< of each GPU
  uint64_t store_memory_bytes = 0;
  uint64_t patch_memory_bytes = 0;
  std::string store_dir;

  // input: which keyframes, and how they are taken
  std::optional<uint64_t> limit; ///< none: all
  uint32_t every = 0;
  std::optional<uint64_t> shuffle; ///< a seed; none: in order
  std::optional<float> rate_hz;    ///< none: as it suits the source; 0: as fast as they are taken
  std::string policy;
  std::string amqp_url;
  std::string amqp_ca, amqp_cert, amqp_key;
  bool amqp_insecure = false;
  std::string exchange;
  std::string queue;
  uint32_t prefetch = 0;
  std::string shm_prefix;
  bool unlink = false;
  bool embed = false;
  std::string session;
  std::string pose_layout;
  float max_depth_m = 0;
  float depth_scale = 0; ///< units a metre
  float noise_m = 0;

  // server: who may look on
  std::string bind;
  uint16_t port = 0, metrics_port = 0;
  std::string token;
  bool insecure = false;
  std::string tls_cert, tls_key; ///< files; empty: no TLS
  std::string trusted_proxy;     ///< addresses and networks with commas; empty: none
  std::string frame_ancestors;   ///< see frame_ancestors.hpp
  uint32_t connections = 0;
  uint64_t body_bytes = 0;
  float stall_after_s = 0;

  // journal: what is there again after the next start
  std::string journal; ///< a folder, auto or off
  uint64_t snapshots_bytes = 0;
  float snapshot_after_s = 0;

  // record: what record writes
  std::string compression;

  // forgetting: what stays in the map
  std::string retain;              ///< see retained.hpp
  uint32_t remember_retracted = 0; ///< ids

  // drill: for tests and operators who want to see what happens
  std::string drill;

  // log
  std::string log_level;

  /// Whether a range was left at its default: then it follows a voxel size that is chosen automatically.
  bool min_range_is_default = true, max_range_is_default = true;
};

} // namespace tessera::config
