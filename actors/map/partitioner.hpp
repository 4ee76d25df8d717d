#pragma once

#include "actors/base/actor_context.hpp"
#include "actors/map/placement.hpp"
#include "actors/map/retention.hpp"
#include "actors/store/gone_ids.hpp"
#include "actors/store/keyframe_store.hpp"
#include "actors/store/region_snapshots.hpp"
#include "messages/actors.hpp"

#include <chrono>
#include <string>

namespace tessera {

/// What a partitioner finds when it starts.
enum class map_beginning {
  empty,     ///< nothing
  kept,      ///< a store with the keyframes of an earlier process: they are shown as they are taken again
  succeeding ///< what another partitioner left: nobody is shown half a map until all is there again
};

/// The end of a region's mesher by its own fault, or by that of the device which made its surface. Stays in the process.
struct mesher_death {
  region_key region;
  uint64_t shown = 0;     ///< the newest insertion in a surface that meshers of the region made; 0: not known
  bool of_device = false; ///< the device failed of itself, and its mesher with it
  std::string reason;
};

} // namespace tessera

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::mesher_death)

namespace tessera {

/// What a partitioner is told when it starts.
struct partitioner_config {
  map_settings map;
  device_table devices;
  retention_limits retain;
  /// Of how many groups without keyframes the number of their last move is known.
  size_t remembered = default_remembered;
  /// Keyframes that are read or taken at once to fill fields again, changes of requests that take out or move many, and keyframes
  /// that are forgotten at once.
  uint32_t refill_credit = 8;
  std::chrono::milliseconds request_timeout{120'000};
  std::string epoch;
  /// A keyframe over which devices failed so often in a row, each of itself, is not taken again.
  uint32_t most_losses = 2;
  /// How long a region may hold no keyframe before its mesher ends: so long that a keyframe that is sent again, or one that
  /// follows, finds it.
  std::chrono::milliseconds idle_after{5'000};
  /// How long meshers may wait for the end of a request that takes out or moves many keyframes.
  std::chrono::milliseconds longest_hold{3'000};
  map_beginning begins = map_beginning::empty;
  /// Where snapshots of regions are kept, and taken from if it begins with what was kept; null: there are none.
  std::shared_ptr<region_snapshots> snapshots{};
  /// A region's snapshot is taken when it has not changed for so long, or when it has changed again and again for so long.
  std::chrono::milliseconds snapshot_after{5'000}, latest_snapshot{60'000};
  /// Runs in a thread of its own: everything goes through it, and it shall not wait behind jobs of others.
  bool own_thread = true;
};

/// The supervisor as the partitioner sees it.
using mesher_keeper = supervisor_actor::extend<
  /// The region holds nothing, and nothing more is sent to this mesher: it may end. Who asks for the region's mesher from now on
  /// gets another, when this one is gone.
  caf::reacts_to<leave_atom, region_key, mesher_actor>>;

/// The broadcaster as the partitioner sees it.
using surface_listener = broadcaster_actor::extend<
  /// false: all that was there at the start is told.
  caf::reacts_to<refill_atom, bool>>;

/// A partitioner as the supervisor sees it.
using partitioner_setup = partitioner_actor::extend<
  /// There is a new broadcaster: tells it of all cameras.
  caf::reacts_to<caf::put_atom, broadcaster_actor>,
  /// These are the devices from now on. Those that were not there before have unknown fields.
  caf::reacts_to<caf::put_atom, device_table>,
  /// A mesher ended of itself. Its successor is told of next.
  caf::reacts_to<mesher_death>>;

partitioner_setup spawn_partitioner(caf::actor_system& system, actor_context context, supervisor_actor supervisor,
                                    broadcaster_actor broadcaster, std::shared_ptr<keyframe_store> store,
                                    partitioner_config config);

} // namespace tessera
