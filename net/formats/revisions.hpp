#pragma once

#include "messages/map_input.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace tessera {

/// Reads new poses of many keyframes (docs/protocol.md, "Corrections"): a map with a list `revisions`, whose entries may leave
/// `session` and `revision` to the map; or one entry alone. A key that is not known is a fault, since what it would mean cannot
/// be left out; but not in a notification's own map, which has others, and its `type` may stand in any. Throws bad_input, which
/// names the entry and the field; ids and poses are checked further by whoever takes the correction.
correction read_revisions(const nlohmann::json& whole, bool from_notification = false);

/// The same of a body of JSON, or of MessagePack.
correction read_revisions_body(std::span<const std::byte> body, bool is_msgpack);

/// The bodies in MessagePack that say a correction: one, or as many as it takes for none to be larger than `most_bytes`, which
/// must have room for an entry (700 bytes). Asked for one after the other they leave the same map.
std::vector<std::string> revisions_bodies(const correction& what, size_t most_bytes);

} // namespace tessera
