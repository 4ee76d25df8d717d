#pragma once

#include <stdexcept>

namespace tessera::config {

/// A setting that cannot be: names the setting, where it was set, its value and its bounds.
class error : public std::invalid_argument {
public:
  using std::invalid_argument::invalid_argument;
};

} // namespace tessera::config
