#pragma once
// What is answered before the map is known: a service may choose its voxel size from the first keyframe, and listens all the
// while.

#include "net/server/server_core.hpp"

namespace tessera {

http_reply ready_for_first(const server_core& core);
/// There is no voxel yet, and nothing in the map: that is known.
http_reply empty_map(const server_core& core);
http_reply empty_list(const server_core& core);
http_reply no_region_yet(const server_core& core);
http_reply no_map_yet(const server_core& core);

} // namespace tessera
