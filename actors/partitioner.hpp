#pragma once

#include "actors/actor_context.hpp"
#include "actors/gpu_turns.hpp"
#include "actors/keyframe_store.hpp"
#include "actors/ray_functions.hpp"
#include "messages/actors.hpp"

#include <chrono>

namespace tessera {

/// What a partitioner is told when it starts.
struct partitioner_config {
  mapping map;
  ray_functions rays;
  /// GPUs that make rays; the CPU does when there is none.
  std::shared_ptr<gpu_turns> gpus;
  /// Keyframes whose rays are made at once.
  uint32_t ray_makers = 2;
  /// Parts of a refill that are under way at once.
  uint32_t refill_credit = 8;
  /// Keyframes whose rays a successor sorts by region before it looks at its other messages: at 1 cm some ms each.
  uint32_t recover_at_once = 4;
  std::chrono::milliseconds request_timeout{120'000};
  std::string epoch;
  /// How long a region may hold no keyframe before its mesher ends: so long that a keyframe that is sent again, or one that
  /// follows, finds it.
  std::chrono::milliseconds idle_after{5'000};
  /// The store holds what another partitioner left: make the map again from it.
  bool successor = false;
  /// Runs in a thread of its own, because the store may touch the disk.
  bool own_thread = true;
};

/// The supervisor as the partitioner sees it.
using mesher_keeper = supervisor_actor::extend<
  /// The region holds nothing, and nothing more is sent to this mesher: it may end. Who asks for the region's mesher from now on
  /// gets another, when this one is gone.
  caf::reacts_to<leave_atom, region_key, mesher_actor>>;

/// A partitioner as the supervisor sees it: when there is a new broadcaster, it tells that one of all cameras.
using partitioner_setup = partitioner_actor::extend<caf::reacts_to<caf::put_atom, broadcaster_actor>>;

partitioner_setup spawn_partitioner(caf::actor_system& system, actor_context context, supervisor_actor supervisor,
                                    broadcaster_actor broadcaster, std::shared_ptr<keyframe_store> store,
                                    partitioner_config config);

} // namespace tessera
