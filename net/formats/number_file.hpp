#pragma once

#include <cstddef>
#include <filesystem>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace tessera {

/// Reads a whole file of at most `most` bytes. Throws bad_input that names the file, or shortage_error.
std::vector<std::byte> read_file(const std::filesystem::path& path, size_t most = size_t{64} << 20);

/// Reads as many numbers, separated by blanks or commas, as one of `wanted` says; inf and nan are numbers here, also as
/// Microsoft's library spells them (-1.#INF). Throws bad_input.
std::vector<double> parse_numbers(std::string_view text, std::initializer_list<size_t> wanted);
inline std::vector<double> parse_numbers(std::string_view text, size_t wanted) {
  return parse_numbers(text, {wanted});
}

/// Reads a file of numbers. The error begins with the file's name.
std::vector<double> read_numbers(const std::filesystem::path& path, std::initializer_list<size_t> wanted);

} // namespace tessera
