#pragma once
// A way to bring a keyframe to a GPU, and how long it took.

#include "upload_segments.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace tessera::bench {

struct timing {
  double host_us = 0;  ///< the host's thread was busy with it; without waiting, unless it must
  double ready_us = 0; ///< until all is on the device
  std::vector<double> steps_us;
};

/// One way to the device, and what it took so far.
struct way {
  std::string name;
  std::function<timing(const segment&, const uint8_t* from)> go;
  std::vector<std::string> steps{};
  bool by_kernel = false; ///< which sums up on its way and leaves no copy
  bool writable = false;  ///< the mapping
  bool may_fail = false;  ///< not every system can do it
  std::string failed{};   ///< why, if it did
  std::vector<timing> took{};
};

} // namespace tessera::bench
