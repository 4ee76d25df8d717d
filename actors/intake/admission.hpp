#pragma once

#include "actors/intake/input_queue.hpp"

namespace tessera {

/// Gives a request its place among all that was offered to this process, unless it has one. So a request about many means the
/// same keyframes when a successor of whoever was to do it is asked again. Threads: any.
void admit(map_request& what);

} // namespace tessera
