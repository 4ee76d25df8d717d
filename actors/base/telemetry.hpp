#pragma once

#include "actors/base/aside_log.hpp"
#include "actors/base/device_board.hpp"
#include "actors/base/hindrance.hpp"
#include "actors/base/quarantine_board.hpp"
#include "actors/base/shortage_board.hpp"
#include "actors/base/stall_board.hpp"
#include "actors/base/time_histogram.hpp"
#include "actors/base/view_board.hpp"
#include "messages/keyframe.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <string>
#include <utility>

namespace tessera {

/// Why a keyframe was refused, and would be again.
enum class refusal : uint8_t {
  id,
  pose,
  points,
  colours,
  confidence,
  empty,
  internal,   ///< several devices in a row failed over it
  quarantined ///< it is in quarantine, since something died over it again and again
};
inline constexpr size_t refusals = 8;

/// The reason's name, as a metric's label.
const char* to_string(refusal why);

/// What one node counts and measures. Actors write, metrics and pages read; nobody waits. Threads: any.
class telemetry {
public:
  using counter = std::atomic<uint64_t>; ///< only grows
  using gauge = std::atomic<int64_t>;    ///< goes up and down

  // -- keyframes --------------------------------------------------------------
  counter accepted{0}, duplicate{0}, refused{0}, dropped{0}, retracted{0}, revised{0}, unknown{0};
  counter corrections{0}; ///< requests to move many keyframes that were done, whatever became of each
  counter forgotten{0};   ///< taken out since they were beyond what is kept; not counted as retracted
  counter conflicts{0};   ///< keyframes whose id was live with other content
  counter kept_out{0};    ///< keyframes whose id was retracted before they came
  std::array<counter, refusals> refused_by{};
  /// What was left with its sender, to be tried again: a keyframe that is tried three times counts three times.
  std::array<counter, hindrances> not_now_by{};
  shortage_board shortage;
  counter points{0};         ///< of accepted keyframes, before any is left out
  counter rays{0};           ///< made of them
  counter identity_poses{0}; ///< accepted keyframes whose pose is the identity: suspicious if all are
  gauge live_keyframes{0}, live_rays{0};
  /// Inputs that could not be made a keyframe, keyframes that were refused, and conflicts.
  aside_log set_aside;
  quarantine_board quarantine;

  // -- flow -------------------------------------------------------------------
  gauge credit_limit{0};                          ///< keyframes that ingest takes before it answers the first
  gauge under_way{0};                             ///< keyframes that it took and did not answer yet
  gauge waiting{0};                               ///< keyframes that wait for credit in ingest
  gauge encodes_waiting{0}, encodes_under_way{0}; ///< surfaces in the encoder pool

  // -- stages, each time a whole step of one keyframe or one region ------------
  time_histogram rays_time, integrate_time, extract_time, encode_wait_time, encode_time;
  /// From ingest taking a keyframe to all its regions having it; from a keyframe's arrival to the patch that shows it.
  time_histogram keyframe_time, patch_time;

  // -- devices ----------------------------------------------------------------
  device_board devices;
  counter device_failures{0};                  ///< GPUs that were taken out of use
  counter device_kernels{0}, device_copies{0}; ///< given to GPUs for keyframes

  // -- map --------------------------------------------------------------------
  gauge regions{0}, vertices{0}, triangles{0}; ///< of the newest patches
  counter patches{0}, patch_bytes{0};          ///< encoded
  gauge held_patch_bytes{0};                   ///< newest patches held for late joiners

  // -- sessions ---------------------------------------------------------------
  gauge sessions{0};
  counter sent_patches{0}, sent_bytes{0}; ///< handed to sockets; patches only

  // -- store ------------------------------------------------------------------
  gauge store_memory_bytes{0}, store_disk_bytes{0};
  counter store_errors{0};
  gauge retractions{0};                  ///< of keyframes that never came, which are remembered
  counter retractions_let_go{0};         ///< that were forgotten for newer ones
  gauge snapshots{0}, snapshot_bytes{0}; ///< of regions' fields, on disk
  gauge oldest_snapshot_ns{0};           ///< when the oldest was taken, since 1970; 0: there is none
  counter snapshots_written{0}, snapshots_failed{0};
  counter snapshots_used{0}; ///< of which fields were made, at the start

  // -- health -----------------------------------------------------------------
  counter restarts{0};       ///< actors started again
  counter handler_errors{0}; ///< handlers that threw
  stall_board stalls;
  view_board views;
  counter lost_core{0}; ///< actors that cannot be started again: if not 0, the service must be

  /// Counts a refusal.
  void count_refused(refusal why) {
    refused.fetch_add(1, std::memory_order_relaxed);
    refused_by[static_cast<size_t>(why)].fetch_add(1, std::memory_order_relaxed);
  }

  /// Counts what is left with its sender, notes what is short, and answers it.
  verdict count_not_now(hindered by) {
    not_now_by[static_cast<size_t>(by.why)].fetch_add(1, std::memory_order_relaxed);
    if (is_shortage(by.why))
      shortage.note(by.why, by.text);
    return {outcome::not_now, std::move(by.text)};
  }
};

} // namespace tessera
