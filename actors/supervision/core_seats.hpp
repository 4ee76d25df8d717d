#pragma once

#include "actors/map/placement.hpp"
#include "actors/supervision/seat.hpp"
#include "messages/actors.hpp"

namespace tessera {

/// Where the actors are found of which there is one each, and the devices.
struct core_seats {
  seat<ingest_actor> ingest;
  seat<partitioner_actor> partitioner;
  seat<broadcaster_actor> broadcaster;
  seat<placement_actor> placement;
  seat<inspector_actor> inspector;
  seat<device_table> devices;

  /// Calls `f` with each seat but that of the devices, in the direction of the data.
  template <class F>
  void for_each(F f) const {
    // One seat more does not compile until it has its name and its line here.
    const auto& [of_ingest, of_partitioner, of_broadcaster, of_placement, of_inspector, of_devices] = *this;
    f(of_ingest);
    f(of_partitioner);
    f(of_broadcaster);
    f(of_placement);
    f(of_inspector);
  }
};

} // namespace tessera
