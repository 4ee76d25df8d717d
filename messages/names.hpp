#pragma once
// What an id, a session and a group may be. Pure functions of text from outside; every door asks them.

#include "messages/ids.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace tessera {

/// Tells whether the text is valid UTF-8 (RFC 3629: shortest forms only, no surrogates).
bool is_utf8(std::string_view text);

/// Longest group of a keyframe, bytes.
inline constexpr size_t max_group_bytes = 64;

/// Says why this cannot name a keyframe, with field, value and bound: its id must have 1 to keyframe_id::max_bytes bytes of UTF-8
/// without control characters, its session 0 to keyframe_id::max_session_bytes. Nothing if it can.
std::optional<std::string> fault_of_id(const keyframe_id& id);

/// Says why this cannot be a session: see fault_of_id().
std::optional<std::string> fault_of_session(std::string_view session);

/// Says why this cannot be a group: it must have 0 to max_group_bytes bytes of UTF-8 without control characters.
std::optional<std::string> fault_of_group(std::string_view group);

} // namespace tessera
