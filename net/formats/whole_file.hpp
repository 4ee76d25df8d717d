#pragma once

#include <filesystem>
#include <functional>
#include <iosfwd>
#include <string>

namespace tessera {

/// Writes a file, which appears under its name only when it is whole. Throws std::system_error if that cannot be, and what
/// `write` throws; then nothing is left of it.
void write_whole_file(const std::filesystem::path& file, const std::function<void(std::ostream&)>& write);

/// Throws std::invalid_argument if the file does not end in `extension` or is a folder; std::system_error if no file can be made
/// in the folder that holds it. To be asked before the work.
void check_output(const std::filesystem::path& file, const std::string& extension);

/// Throws std::system_error if no file can be made in the folder that holds it.
void check_folder_of(const std::filesystem::path& file);

} // namespace tessera
