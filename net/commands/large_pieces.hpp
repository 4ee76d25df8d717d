#pragma once

#include "net/commands/piece_cache.hpp"

namespace tessera {

/// Pieces of memory from this size on are mappings of their own.
inline constexpr size_t large_piece_bytes = size_t{128} << 10;

/// Has large pieces of memory (rays, points, meshes, what encoders use) kept for their next use when they are freed, and given
/// back to the system by sweep_large_pieces() when there was none. Of itself malloc would take ever larger ones from its heaps,
/// where what lives long keeps what is free from being given back: after 100 keyframes of a room at 2 cm that was 136 MB instead
/// of 105. Call it before there are threads. Programs that have this in them have operators new and delete of their own, which do
/// what the usual ones do until it is called. With AddressSanitizer, which has its own, it does nothing.
void keep_large_pieces();

/// Gives back what was not needed since the last call. Call it a few times a second.
void sweep_large_pieces();

/// Bytes that are kept.
size_t kept_large_pieces();

} // namespace tessera
