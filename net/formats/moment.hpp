#pragma once

#include <cstdint>
#include <string_view>

namespace tessera {

/// Reads a moment as people and programs write it: RFC 3339 (2026-11-29T22:15:00Z, with a fraction of a second and another offset
/// if need be), or nanoseconds since 1970. Returns nanoseconds since 1970; of a finer fraction what is less is left out. Throws
/// std::invalid_argument, which says what it must be.
uint64_t parse_moment(std::string_view text);

} // namespace tessera
