#pragma once

#include "messages/map.hpp"

#include <functional>

namespace tessera {

/// Encodes a region's surface as the frame that every viewer gets; an empty surface as the frame that deletes the region.
/// Called by several threads at once.
using encoder_function = std::function<patch(const region_mesh&, uint64_t keyframe_ns, uint64_t received_ns)>;

} // namespace tessera
