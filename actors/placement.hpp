#pragma once

#include "actors/actor_context.hpp"
#include "messages/actors.hpp"

namespace tessera {

/// A device and how much it can take, relative to the others.
struct placed_device {
  device_id id;
  device_actor handle;
  double capacity = 1;
};

/// A placement as the supervisor sees it.
using placement_setup = placement_actor::extend<
  /// A device comes, with its capacity, or has a successor.
  caf::reacts_to<caf::put_atom, device_id, device_actor, double>,
  /// A device goes: its regions belong to the others from now on.
  caf::reacts_to<caf::delete_atom, device_id>>;

/// Starts the placement of regions on these devices.
placement_setup spawn_placement(caf::actor_system& system, actor_context context, const std::vector<placed_device>& devices);

} // namespace tessera
