#pragma once
// The service's encoder of cells (docs/cells.md): whole surfaces, or what changed since the version that a viewer holds.

#include "actors/regions/encoder.hpp"

namespace tessera {

/// Returns an encoder for the regions of a map: a frame on each base, where the history reaches back to it, else a whole one. The
/// function returned throws std::invalid_argument as encode_cells does. Threads: any, as cells_function says.
cells_function cells_encoder(float voxel_m, int32_t region_voxels);

/// Enters a version's digests: which blocks it changed. Those that have nothing any more are remembered, too.
void enter(block_history& changes, uint64_t version, std::vector<block_history::block> digests);

} // namespace tessera
