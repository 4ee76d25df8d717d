#pragma once
// The JSON text frames of docs/protocol.md: what viewers say is parsed, what they are told is written. Pure
// functions.

#include "actors/viewers/session.hpp"
#include "gpu/map_settings.hpp"
#include "messages/map.hpp"
#include "messages/talk.hpp"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace tessera {

/// Longest text frame, bytes. `hello` tells viewers, so that they list no more than fits; lists have no other bound.
inline constexpr size_t max_talk_bytes = size_t{1} << 20;

/// Why a text frame was not understood.
struct talk_error {
  std::string message;    ///< the field, the value and the bound
  std::string reference;  ///< the frame's `type`, if it could be read
  bool too_large = false; ///< the connection must end, code 1009
};

using talk = std::variant<subscribe, view, ack, lost, talk_error>;

/// Reads a viewer's text frame. Never throws for what the text holds, and takes no more than a few levels of
/// nesting.
talk parse_talk(std::string_view text);

/// Versions of the protocol, by the names of their subprotocols.
enum class stream_protocol : uint8_t { v1, v2 };
[[nodiscard]] const char* name_of(stream_protocol version);

/// The first frame to a viewer.
std::string write_hello(stream_protocol version, const std::string& epoch, const map_settings& map, float quantum_m);
std::string write_cameras(const std::vector<camera>& cameras);
std::string write_stats(const session_stats& stats);
std::string write_error(const talk_error& error);

} // namespace tessera
