#pragma once

#include <string>

namespace tessera::config {

/// The sample settings file, config/tessera.toml: every setting with its help, unit, range and default.
std::string sample_file();

} // namespace tessera::config
