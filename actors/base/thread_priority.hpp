#pragma once

#include <sys/resource.h>

#include <algorithm>

namespace tessera {

/// For a thread whose work may wait where the processor cannot keep up: it comes after those that take keyframes in.
inline void lower_thread_priority() {
  // Fails without harm: then it is a thread like the others.
  (void)::setpriority(PRIO_PROCESS, 0, std::min(::getpriority(PRIO_PROCESS, 0) + 5, 19)); // on Linux, of this thread alone
}

} // namespace tessera
