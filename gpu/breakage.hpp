#pragma once

#include <cstdint>

namespace tessera {

/// How a GPU is broken on purpose.
enum class breakage : uint8_t {
  trap,           ///< a kernel traps: the driver then answers nothing more to this process, of whichever GPU
  refused_launch, ///< the driver refuses each kernel that is to be launched on this GPU; all others work
};

} // namespace tessera
