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
    f(ingest);
    f(partitioner);
    f(broadcaster);
    f(placement);
    f(inspector);
  }
};

} // namespace tessera
