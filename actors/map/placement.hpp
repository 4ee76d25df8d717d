#pragma once

#include "actors/map/device.hpp"

#include <vector>

namespace tessera {

/// A device that holds regions, and its number among those that share the map.
struct placed_device {
  device_id id;
  device_actor handle;
  uint32_t index = 0;
};

/// The devices that share the map, and thereby which of them holds a region.
struct device_table {
  std::vector<placed_device> devices; ///< in use, by index
  uint32_t count = 1;                 ///< that the map began with
  uint64_t lost = 0;                  ///< bit i: the device of index i is gone

  [[nodiscard]] region_share share_of(const placed_device& one) const { return {one.index, count, lost}; }
  /// Null if there is no device at all.
  [[nodiscard]] const placed_device* owner(region_key region) const;
  [[nodiscard]] bool has(const device_actor& handle) const;
};

} // namespace tessera

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::device_table)

namespace tessera {

/// Maps regions to devices (later: of all nodes).
using placement_actor = caf::typed_actor<
  /// Returns the device a region belongs to.
  caf::replies_to<place_atom, region_key>::with<device_id, device_actor>>;

/// A placement as the supervisor sees it.
using placement_setup = placement_actor::extend<
  /// These are the devices from now on.
  caf::reacts_to<caf::put_atom, device_table>>;

placement_setup spawn_placement(caf::actor_system& system, actor_context context, device_table devices);

} // namespace tessera
