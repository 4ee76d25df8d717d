#pragma once

#include "config/value.hpp"

#include <istream>
#include <map>
#include <string>

namespace tessera::config {

/// Reads a settings file: the part of TOML that settings need, which is comments, [sections], and `name = value` with a value
/// that is a string, a number, true or false. Answers texts by setting name. Throws error that names the line for anything else,
/// for a name that is no setting, for one in the wrong section and for one that stands twice.
std::map<std::string, given> read_toml(std::istream& in, const std::string& file);

} // namespace tessera::config
