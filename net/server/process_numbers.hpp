#pragma once

#include <cstdint>

namespace tessera {

/// What the system says of this process.
struct process_numbers {
  double cpu_s = 0; ///< user and system time
  uint64_t resident_bytes = 0, virtual_bytes = 0;
  uint64_t open_fds = 0, max_fds = 0;
  uint64_t threads = 0;
  double start_s = 0; ///< since 1970
};

/// Reads /proc; what cannot be read stays 0.
process_numbers read_process_numbers();

/// Lets the process open as many files as the system permits (each connection is one).
void raise_file_limit();

} // namespace tessera
