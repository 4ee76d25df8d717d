#pragma once
// What is answered before the map is known: a service may choose its voxel size from the first keyframe, and listens all the
// while.

#include "net/sinks/server_core.hpp"

#include <optional>

namespace tessera {

/// The answer to what asks about the map, as long as there is none. Nothing: it is answered as ever.
std::optional<http_reply> answer_before_map(const server_core& core, const http_target& target);

} // namespace tessera
