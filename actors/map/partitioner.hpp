#pragma once

#include "actors/base/actor_context.hpp"
#include "actors/map/placement.hpp"
#include "actors/map/retention.hpp"
#include "actors/store/keyframe_store.hpp"
#include "messages/actors.hpp"

#include <chrono>

namespace tessera {

/// What a partitioner finds when it starts.
enum class map_beginning {
  empty,     ///< nothing
  kept,      ///< a store with the keyframes of an earlier process: they are shown as they are taken again
  succeeding ///< what another partitioner left: nobody is shown half a map until all is there again
};

/// What a partitioner is told when it starts.
struct partitioner_config {
  map_settings map;
  device_table devices;
  retention_limits retain;
  /// Keyframes that are read or taken at once to fill fields again, changes of requests that take out or move many, and keyframes
  /// that are forgotten at once.
  uint32_t refill_credit = 8;
  std::chrono::milliseconds request_timeout{120'000};
  std::string epoch;
  /// How long a region may hold no keyframe before its mesher ends: so long that a keyframe that is sent again, or one that
  /// follows, finds it.
  std::chrono::milliseconds idle_after{5'000};
  /// How long meshers may wait for the end of a request that takes out or moves many keyframes.
  std::chrono::milliseconds longest_hold{3'000};
  map_beginning begins = map_beginning::empty;
  /// Runs in a thread of its own: everything goes through it, and it shall not wait behind jobs of others.
  bool own_thread = true;
};

/// The supervisor as the partitioner sees it.
using mesher_keeper = supervisor_actor::extend<
  /// The region holds nothing, and nothing more is sent to this mesher: it may end. Who asks for the region's mesher from now on
  /// gets another, when this one is gone.
  caf::reacts_to<leave_atom, region_key, mesher_actor>>;

/// A partitioner as the supervisor sees it.
using partitioner_setup = partitioner_actor::extend<
  /// There is a new broadcaster: tells it of all cameras.
  caf::reacts_to<caf::put_atom, broadcaster_actor>,
  /// These are the devices from now on. Those that were not there before have unknown fields.
  caf::reacts_to<caf::put_atom, device_table>>;

partitioner_setup spawn_partitioner(caf::actor_system& system, actor_context context, supervisor_actor supervisor,
                                    broadcaster_actor broadcaster, std::shared_ptr<keyframe_store> store,
                                    partitioner_config config);

} // namespace tessera
