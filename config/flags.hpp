#pragma once

#include "config/value.hpp"

#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace tessera::config {

/// Adds a flag for each setting of the groups to a command, and --config. What is given lands in `flags`, and the file's path in
/// `file`; both must outlive the parsing.
void add_flags(CLI::App& command, std::initializer_list<std::string_view> groups, std::map<std::string, given>& flags,
               std::string& file);

} // namespace tessera::config
