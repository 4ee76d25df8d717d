#pragma once

#include "actors/map/placement.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace tessera {

/// What came of a take on all devices together. With a failure nothing has changed.
struct taken {
  take_report report;
  caf::error failure{};
  bool deadly = false; ///< a device failed of itself as it took it, the last time
};

/// A keyframe that is to be taken by all devices, or by none.
struct take {
  std::function<std::optional<take_request>()> make; ///< asked whenever it is sent; nothing: there is nothing to do any more
  std::function<void(taken&)> done;
  bool again = true;      ///< when there are other devices, if one was lost over it; else that is its failure
  bool continues = false; ///< a change of which half is done: nothing comes in between

  take_request sent{};
  std::shared_ptr<rays_for_peers> for_peers{}; ///< while one device makes the rays for all: where it puts those of the others
  taken result{};
  size_t waits_for = 0;
  std::vector<std::pair<device_actor, std::vector<region_key>>> by{}; ///< devices that took it, and where
  std::vector<device_actor> lost{};
  bool failed = false; ///< one of these of itself
  uint32_t losses = 0; ///< times that one was
};
using take_ptr = std::shared_ptr<take>;

} // namespace tessera
