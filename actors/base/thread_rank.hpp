#pragma once

#include <sys/resource.h>

#include <algorithm>

namespace tessera {

/// Whose work waits where the processor cannot keep up, from first to last, as what Linux calls niceness beside the process's.
enum class thread_rank : int {
  keyframes = 0,  ///< those that take keyframes in, and all others
  patches = 5,    ///< may come later, and then there are fewer of them
  journal = 10,   ///< only the producer's answer waits for it
  snapshots = 15, ///< nobody waits for them
};

/// For the thread that calls it.
inline void set_thread_rank(thread_rank rank) {
  // Fails without harm: then it is a thread like the others.
  (void)::setpriority(PRIO_PROCESS, 0, std::min(::getpriority(PRIO_PROCESS, 0) + static_cast<int>(rank), 19)); // of it alone
}

} // namespace tessera
