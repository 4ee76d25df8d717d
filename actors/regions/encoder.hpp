#pragma once

#include "actors/regions/block_history.hpp"
#include "messages/map.hpp"

#include <functional>
#include <optional>
#include <vector>

namespace tessera {

/// Encodes a region's surface as the frame that every viewer can take, Draco's; an empty surface as the frame that deletes the
/// region. Called by several threads at once.
using encoder_function = std::function<patch(const region_mesh&, uint64_t keyframe_ns, uint64_t received_ns)>;

/// Surfaces with cells: a frame for each base, in their order, and enters into the history what this version changed. `about` has
/// the keyframe's times; sets its vertices and triangles. Returns null if the surface cannot be told by cells. Called by several
/// threads at once, for a region by one at a time, with growing versions.
using cells_function = std::function<std::optional<std::vector<cells_frame>>(
  const region_mesh&, patch& about, const std::vector<uint64_t>& bases, block_history& changes)>;

} // namespace tessera
