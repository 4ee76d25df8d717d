#pragma once

#include "actors/actor_context.hpp"
#include "actors/mesher.hpp"
#include "messages/actors.hpp"

namespace tessera {

/// What a supervisor is told when it starts.
struct supervisor_config {
  mesher_config meshers; ///< region, device and generation are filled in for each
  std::chrono::milliseconds request_timeout{120'000};
};

/// The actors that the supervisor watches beside the meshers. None of them dies of a bad message; if one dies all the same, its state is
/// lost, and the service must be started again: telemetry::lost_core counts it.
struct core_actors {
  placement_actor placement;
  broadcaster_actor broadcaster;
  std::vector<std::pair<std::string, caf::strong_actor_ptr>> others;
};

/// A supervisor as the service's start sees it: it is told who is to refill meshers once that actor exists.
using supervisor_setup = supervisor_actor::extend<caf::reacts_to<caf::put_atom, partitioner_actor>,
                                                  caf::reacts_to<caf::monitor_atom, std::string, caf::strong_actor_ptr>>;

supervisor_setup spawn_supervisor(caf::actor_system& system, actor_context context, core_actors core, supervisor_config config);

} // namespace tessera
