#pragma once

#include <chrono>
#include <cstdint>

namespace tessera {

/// Nanoseconds since 1970 by the system clock: what every `*_ns` of a message counts from.
inline uint64_t system_ns() {
  auto since = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(since).count());
}

} // namespace tessera
