#pragma once

#include "actors/map/partitioner.hpp"
#include "actors/supervision/core_actors.hpp"
#include "messages/actors.hpp"

#include <memory>
#include <string>

namespace tessera {

/// A supervisor as the service's start, its sinks and drills see it.
using supervisor_setup = mesher_keeper::extend<
  /// Watches an actor that has taken its seat, or a relay that must be told where ingest is.
  caf::reacts_to<caf::monitor_atom, std::string, caf::strong_actor_ptr>,
  /// Kills the actor of a role (role::killable): a drill. Answers false if there is no such role.
  caf::replies_to<kill_atom, std::string>::with<bool>>;

/// Starts the supervisor of a service whose devices are seated. The core actors, which need it, are started next.
supervisor_setup spawn_supervisor(caf::actor_system& system, std::shared_ptr<service_parts> parts);

} // namespace tessera
