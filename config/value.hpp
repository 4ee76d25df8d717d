#pragma once

#include "config/table.hpp"

#include <string>
#include <string_view>

namespace tessera::config {

/// A value as somebody wrote it, and where: "--voxel-size", "environment MESH_VOXEL_SIZE", "tessera.toml line 3".
struct given {
  std::string text;
  std::string where;
};

/// Reads `from` as what the setting is and puts it into `to`. Throws error.
void assign(settings& to, const setting& row, const given& from);

/// A text as an error shows it: in quotes, shortened if it is long, odd characters as ?.
std::string in_quotes(std::string_view text);

/// Reads a size: a number of bytes, or one with KiB, MiB, GiB, TiB (1024) or kB, MB, GB, TB (1000). Throws std::invalid_argument.
double parse_bytes(std::string_view text);

/// Reads a finite number, the whole of the text. Throws std::invalid_argument.
double parse_number(std::string_view text);

/// Reads true, false, yes, no, on, off, 1 or 0. Throws std::invalid_argument.
bool parse_bool(std::string_view text);

} // namespace tessera::config
