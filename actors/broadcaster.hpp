#pragma once

#include "actors/actor_context.hpp"
#include "actors/encoder.hpp"
#include "messages/actors.hpp"

namespace tessera {

/// Starts the broadcaster of a run named `epoch`. The encoder makes the empty patch for a region that a viewer has and this run
/// never had.
broadcaster_actor spawn_broadcaster(caf::actor_system& system, actor_context context, std::string epoch, encoder_function encode);

} // namespace tessera
