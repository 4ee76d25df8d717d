#pragma once

#include "messages/ids.hpp"

#include <vector>

namespace tessera {

/// Maps regions to devices by rendezvous hashing: each region goes to the device with the best score for it, so that a device
/// that comes takes only its share, one that goes gives only its own away, and shares follow capacities.
class placement_table {
public:
  /// Adds a device or changes its capacity (any unit, larger than 0: bytes of its pool, say). Throws std::invalid_argument.
  void add(device_id device, double capacity);
  void remove(device_id device);
  /// Returns the region's device. Throws std::out_of_range if there is none at all.
  [[nodiscard]] device_id place(const region_key& region) const;
  [[nodiscard]] size_t size() const { return devices_.size(); }

private:
  struct entry {
    device_id device;
    double capacity;
  };
  std::vector<entry> devices_;
};

} // namespace tessera
