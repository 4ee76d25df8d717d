#pragma once

#include "config/value.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
}

namespace tessera::config {

/// Adds a flag for each setting of the groups to a command, and --config, whose path lands in `file`; that must outlive the
/// parsing.
void add_flags(CLI::App& command, const std::vector<std::string_view>& groups, std::string& file);

/// What a command line that was parsed says of these settings, by their names.
std::map<std::string, given> given_flags(const CLI::App& command, const std::vector<std::string_view>& groups);

/// Makes the help of an app, and of commands that are added to it later, show flags as they are typed.
void use_plain_help(CLI::App& app);

} // namespace tessera::config
