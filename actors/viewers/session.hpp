#pragma once

#include "actors/base/actor_context.hpp"
#include "messages/actors.hpp"

#include <functional>
#include <string>
#include <variant>

namespace tessera {

/// What a viewer is told every second.
struct session_stats {
  uint64_t keyframes = 0; ///< live ones
  double keyframes_per_s = 0;
  uint64_t regions = 0, triangles = 0;
  uint64_t viewers = 0;
  uint64_t pending = 0; ///< regions that this viewer still lacks
  uint64_t set_aside = 0;
  uint64_t time_ns = 0; ///< the server's clock, since 1970
  std::string shortage; ///< what the service is short of, so that keyframes stay with their senders; empty: nothing
};

/// One frame for a viewer's socket: a patch goes out as its binary frame, the others as JSON text.
using session_output = std::variant<patch, std::vector<camera>, session_stats>;

/// Puts one frame on the socket. Called from the session's thread; must not block. When the socket has taken the frame, the owner
/// sends the session `sent_atom`; until then there is no other call.
using socket_function = std::function<void(session_output)>;

/// How a session behaves.
struct session_config {
  /// Edge of a region, metres: places regions for `view`.
  float region_m = 3.2f;
  /// Bytes of patches that may be unacknowledged, while the viewer sets no bit rate.
  uint64_t window_bytes = uint64_t{1} << 20;
  std::chrono::milliseconds stats_interval{1000};
  /// The viewer takes cells.
  bool cells = false;
  /// How long the broadcaster may take to answer a join.
  std::chrono::milliseconds request_timeout{30'000};
};

/// Starts a viewer's session. It ends when it is sent an exit message, or when the broadcaster ends.
session_actor spawn_session(caf::actor_system& system, actor_context context, const broadcaster_actor& broadcaster,
                            session_config config, socket_function socket);

} // namespace tessera
