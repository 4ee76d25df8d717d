#pragma once

#include <cstdint>
#include <string_view>

namespace tessera::config {

/// How much of a map is kept; 0: no bound.
struct retained {
  uint64_t keyframes = 0, age_s = 0, ray_bytes = 0;
};

/// Reads all, or bounds with commas between them: a number of keyframes (5000), an age (90s, 30min, 2h, 7d) and a size of rays
/// (500MB, 4GiB), each at most once. Throws std::invalid_argument, with the part, its bounds and what to do.
retained parse_retained(std::string_view text);

} // namespace tessera::config
