#pragma once

#include "actors/base/actor_context.hpp"
#include "actors/regions/encoder.hpp"
#include "actors/viewers/patch_board.hpp"
#include "messages/actors.hpp"

namespace tessera {

/// What a session is given when it joins: all that there is at that moment. Stays in the process.
struct board_picture {
  std::string epoch;
  patch_board::picture patches;
  encoder_function encode; ///< for the empty patches of regions that a viewer holds and that are no more
};

} // namespace tessera

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::board_picture)

namespace tessera {

/// A session as its broadcaster sees it: the session finds out what the viewer lacks, so that nobody who waits for the
/// broadcaster waits for that.
using joining_session = session_actor::extend<caf::reacts_to<board_picture>>;

/// Starts the broadcaster of a run named `epoch`.
broadcaster_actor spawn_broadcaster(caf::actor_system& system, actor_context context, std::string epoch, encoder_function encode);

} // namespace tessera
