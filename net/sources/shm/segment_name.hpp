#pragma once

#include "messages/ids.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace tessera {

/// Returns the id that a segment's name gives its keyframe (docs/protocol.md, "Shared memory segment"): what follows the prefix,
/// or, of `PREFIX~SESSION~ID`, the session and the id. `name` begins with `prefix`.
keyframe_id id_of_segment(std::string_view name, std::string_view prefix);

/// Returns the id of another keyframe under a name that has been used: the id, `@`, and the 16 hex digits of a digest of
/// its content. An id that has no room for that is cut between two characters, and the digest is then of all of the id, too, so
/// that ids that only differ in what was cut stay apart.
std::string id_with_digest(std::string_view id, uint64_t digest);

} // namespace tessera
