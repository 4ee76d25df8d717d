#pragma once

#include <string>
#include <string_view>

namespace CLI {
class App;
}

namespace tessera::config {

/// A script by which a shell completes the command line of `tessera`: commands, options, the words that a setting may be, schemes
/// of sources, files. `shell` is bash, zsh or fish. Throws error for another.
std::string completion(const CLI::App& app, std::string_view shell);

} // namespace tessera::config
