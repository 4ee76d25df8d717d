#pragma once

#include "net/formats/mcap.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace tessera::mcap {

/// How a chunk's records are compressed.
enum class packing : uint8_t { none, lz4, zstd };

/// As the specification spells it: "", "lz4" or "zstd".
std::string_view to_string(packing how);

/// CRC-32 of IEEE 802.3, as zlib has it.
uint32_t crc_of(std::string_view bytes);

/// Compresses a chunk's records: an LZ4 frame, or a Zstandard frame of the fastest level, which of points is about as small as
/// slower ones. `how` must not be none. Throws std::runtime_error.
std::string pack(std::string_view records, packing how);

/// The records of a chunk, decompressed into memory of their own and checked against the chunk's checksum, if it has one (0:
/// none). Threads: any. Throws bad_input that names the field, the value and the bound; std::bad_alloc.
std::string unpack(const chunk& from);

} // namespace tessera::mcap
