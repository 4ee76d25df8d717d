#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
class ParseError;
} // namespace CLI

namespace tessera::config {

/// The words of a command line in the order in which the app wants them, the last first. `help`, and `help COMMAND`, become the
/// option --help, and `version` becomes --version; an option's value is a word of its own. Throws error, with what to do, if the
/// first is no command, or an option has no value.
std::vector<std::string> words_of(int argc, char** argv, const CLI::App& app);

/// Says in one line why the app could not read a command line, and what to do.
std::string usage_fault(const CLI::App& app, const CLI::ParseError& fault);

} // namespace tessera::config
