#pragma once

#include "actors/base/actor_context.hpp"
#include "messages/actors.hpp"

namespace tessera {

/// Starts the inspector. It reads the registry and disturbs no other actor.
inspector_actor spawn_inspector(caf::actor_system& system, actor_context context);

} // namespace tessera
