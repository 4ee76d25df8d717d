#pragma once

#include "actors/base/actor_context.hpp"
#include "actors/regions/encoder.hpp"
#include "actors/regions/told_surfaces.hpp"
#include "actors/viewers/patch_board.hpp"
#include "messages/actors.hpp"

namespace tessera {

/// What a session is given when it joins: all that there is at that moment. Stays in the process.
struct board_picture {
  std::string epoch;
  patch_board::picture patches;
  encoder_function encode; ///< for the empty patches of regions that a viewer holds and that are no more
  bool whole = true;       ///< else regions that an earlier process told of may come yet
};

} // namespace tessera

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::board_picture)

namespace tessera {

/// A session as its broadcaster sees it: the session finds out what the viewer lacks, so that nobody who waits for the
/// broadcaster waits for that.
using joining_session = session_actor::extend<caf::reacts_to<board_picture>,
                                              /// false: what is not here by now is gone.
                                              caf::reacts_to<refill_atom, bool>>;

/// A broadcaster as the sessions and the partitioner see it.
using broadcaster_setup = broadcaster_actor::extend<
  /// false: all that was there at the start is told.
  caf::reacts_to<refill_atom, bool>,
  /// A viewer holds this version of a region, of an earlier process, and the region's is an older one: it is told again under a
  /// newer version.
  caf::reacts_to<caf::update_atom, region_key, uint64_t>>;

/// What a broadcaster is told when it starts.
struct broadcaster_config {
  std::string epoch;
  encoder_function encode;
  bool whole = true;                     ///< else regions that an earlier process told of come yet
  std::shared_ptr<told_surfaces> told{}; ///< null: versions are of this run alone
  uint64_t most_bytes = 0;               ///< of encoded patches; 0: no bound. What is beyond is made again if it is wanted
};

broadcaster_setup spawn_broadcaster(caf::actor_system& system, actor_context context, broadcaster_config config);

} // namespace tessera
