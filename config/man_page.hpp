#pragma once

#include <string>

namespace CLI {
class App;
}

namespace tessera::config {

/// The manual page tessera(1) in roff, as man(7) describes it: all commands of the app with their options, and all settings with
/// their units, ranges, defaults and names in the environment. `version` goes into its foot.
std::string man_page(const CLI::App& app, const std::string& version);

} // namespace tessera::config
