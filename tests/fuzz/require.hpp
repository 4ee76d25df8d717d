#pragma once

#include <cstdlib>

/// Ends a fuzz target's process, which libFuzzer reports with the input, if something that must hold does
/// not.
inline void require(bool holds) {
  if (!holds)
    std::abort();
}
