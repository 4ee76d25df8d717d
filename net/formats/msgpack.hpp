#pragma once

#include <nlohmann/json_fwd.hpp>

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

namespace tessera {

/// Content types of MessagePack.
inline constexpr std::array<std::string_view, 2> msgpack_types{"application/msgpack", "application/x-msgpack"};

/// Maps and lists inside one another, the outermost included.
inline constexpr size_t max_msgpack_depth = 33;

/// Values and keys of one message. Each may cost a hundred bytes of memory, however few it came in. As many as there are in the
/// largest correction: 65,536 entries with 30 of them each.
inline constexpr size_t max_values = size_t{1} << 21;

/// Reads a buffer that holds one MessagePack value and nothing after it. Integers of 0 and more come as unsigned ones, of
/// whatever kind they were; extensions as binary with a subtype; texts as they are, UTF-8 or not. Time and memory are in
/// proportion to the bytes, never to what they claim, `max_values` bounds them, and the stack holds `max_msgpack_depth` levels.
/// Throws bad_input, which names the key of the outermost map that it was at; keys that are not text are bad input, too.
nlohmann::json read_msgpack(std::span<const std::byte> bytes);

} // namespace tessera
