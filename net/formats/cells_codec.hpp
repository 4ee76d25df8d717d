#pragma once
// Patches of codec 2: a region's cells instead of its mesh (docs/cells.md).

#include "net/formats/patch_codec.hpp"
#include "net/formats/region_cells.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace tessera {

/// Encodes a region's cells as cells_of gives them: all blocks, or only those that changed since a version that the reader
/// holds. A region without cells becomes a header alone, whatever changed. Throws std::invalid_argument if two cells disagree
/// about a corner that they share, if a slot is none of the region's or out of order, or if the base version is not less than
/// that of the cells. Threads: any.
patch encode_cells(const region_cells& cells, uint64_t keyframe_ns, uint64_t received_ns, const changed_blocks* only = nullptr);

/// Decodes a frame of codec 2, or of an empty region: the region's cells as they are now. A partial patch needs what it builds
/// on: the region's cells of its base version. Memory and time are bounded by the frame's size and the region's. Throws
/// std::invalid_argument that tells what is wrong with it. Threads: any.
region_cells decode_cells(std::span<const std::byte> frame, int32_t region_voxels, const region_cells* held = nullptr);

} // namespace tessera
