#pragma once

#include "config/value.hpp"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace tessera::config {

/// Reads a variable of the environment; none if it is not set.
using environment = std::function<std::optional<std::string>(const std::string&)>;

/// The process's own environment.
environment process_environment();

/// The names of the process's environment that begin with TESSERA_.
std::vector<std::string> process_names();

/// All settings at their defaults.
settings defaults();

/// What was given, by setting name. A flag wins over the environment, that over the file, that over the default.
struct layers {
  std::map<std::string, given> flags;
  environment variables = process_environment();
  std::map<std::string, given> file;
  /// Names in the environment that look like ours: those that are no setting are warned of.
  std::vector<std::string> names = process_names();
};

/// Settings, and what whoever set them should know: names that have no effect, values that contradict each other.
struct resolved {
  settings values;
  std::vector<std::string> warnings;
};

/// Puts the layers together and checks every value and what values say together. Throws error.
resolved resolve(const layers& given);

/// Reads a settings file. Throws error if it cannot be read.
std::map<std::string, given> read_file(const std::string& path);

} // namespace tessera::config
