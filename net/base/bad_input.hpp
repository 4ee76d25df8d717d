#pragma once

#include <stdexcept>

namespace tessera {

/// An input from outside that cannot be used. Its text names the field, the value and the bound; whoever
/// reads the input sets it aside with that reason and goes on.
class bad_input : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

} // namespace tessera
