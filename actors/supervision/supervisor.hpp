#pragma once

#include "actors/base/actor_context.hpp"
#include "actors/intake/ingest.hpp"
#include "actors/regions/mesher.hpp"
#include "actors/map/partitioner.hpp"
#include "actors/map/placement.hpp"
#include "actors/supervision/seat.hpp"
#include "messages/actors.hpp"

#include <functional>
#include <map>
#include <string>
#include <vector>

namespace tessera {

/// Where the actors of which there is one each are found.
struct core_seats {
  seat<ingest_actor> ingest;
  seat<partitioner_actor> partitioner;
  seat<broadcaster_actor> broadcaster;
  seat<placement_actor> placement;
  seat<device_table> devices;
  seat<inspector_actor> inspector;
};

/// How those actors are started: at the start of the service, and again when one died. They may throw.
struct core_recipes {
  /// With fields of whatever content: the partitioner clears them before it uses them.
  std::function<device_actor(device_id)> device;
  /// The device that is started when no other is left: the CPU. If it fails like another, the service ends.
  device_id spare;
  /// Called when a device is taken out of use.
  std::function<void(device_id)> retired;
  std::function<placement_setup(const device_table&)> placement;
  std::function<broadcaster_actor()> broadcaster;
  /// `successor`: makes the map again from the store, which outlives the partitioner.
  std::function<partitioner_setup(const supervisor_actor&, const broadcaster_actor&, const device_table&, bool successor)>
    partitioner;
  std::function<ingest_setup(const partitioner_actor&)> ingest;
  std::function<inspector_actor()> inspector;
};

/// What a supervisor is told when it starts.
struct supervisor_config {
  mesher_config meshers; ///< region, device, generation and version are filled in for each
  std::chrono::milliseconds request_timeout{120'000};
  core_seats seats; ///< filled, but for those who need the supervisor's handle
  core_recipes recipes;
  /// Called once, with the reason, when an actor is lost and cannot be started again: the service must end. Must not block.
  std::function<void(const std::string&)> on_lost;
};

/// A supervisor as the service's start, its sinks and drills see it.
using supervisor_setup = mesher_keeper::extend<
  /// Watches an actor that has taken its seat, or a relay that must be told where ingest is.
  caf::reacts_to<caf::monitor_atom, std::string, caf::strong_actor_ptr>,
  /// Kills the actor of a role (ingest, partitioner, broadcaster, placement, device: the first of them, inspector, supervisor): a
  /// drill. Answers false if there is no such role.
  caf::replies_to<kill_atom, std::string>::with<bool>>;

/// What stands in front of ingest, as the supervisor sees it: it is told of a new ingest.
using relay_setup = caf::typed_actor<caf::reacts_to<caf::put_atom, ingest_actor>>;
/// The role under which it is watched.
inline constexpr const char* relay_role = "sink relay";

supervisor_setup spawn_supervisor(caf::actor_system& system, actor_context context, supervisor_config config);

} // namespace tessera
