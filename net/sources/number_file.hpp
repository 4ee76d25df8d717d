#pragma once

#include <cstddef>
#include <filesystem>
#include <string_view>
#include <vector>

namespace tessera {

/// Reads a whole file of at most `most` bytes. Throws bad_input that names the file.
std::vector<std::byte> read_file(const std::filesystem::path& path, size_t most = size_t{64} << 20);

/// Reads exactly `wanted` numbers separated by blanks or commas; inf and nan are numbers here. Throws
/// bad_input.
std::vector<double> parse_numbers(std::string_view text, size_t wanted);

/// Both. The error begins with the file's name.
std::vector<double> read_numbers(const std::filesystem::path& path, size_t wanted);

} // namespace tessera
