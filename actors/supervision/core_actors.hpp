#pragma once
// How the actors are started of which there is one each, and the devices: at the start of the service, and again when one died.

#include "actors/base/actor_context.hpp"
#include "actors/regions/encoder_pool.hpp"
#include "actors/store/keyframe_store.hpp"
#include "actors/supervision/core_seats.hpp"
#include "actors/supervision/region_meshers.hpp"
#include "actors/supervision/service_config.hpp"
#include "messages/actors.hpp"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// What a service's actors are made of. They outlive each of them; the supervisor holds on to them.
struct service_parts {
  caf::actor_system& system;
  service_config config;
  actor_context context;
  std::string epoch;
  std::shared_ptr<keyframe_store> store;
  std::weak_ptr<encoder_pool> encoders;
  core_seats seats;
};

/// What stands in front of ingest, as the supervisor sees it: it is told of a new ingest.
using relay_setup = caf::typed_actor<caf::reacts_to<caf::put_atom, ingest_actor>>;

/// Who else is told of a successor; nobody at the start of the service.
struct core_peers {
  supervisor_actor supervisor;
  region_meshers& meshers;
  const std::vector<relay_setup>& relays;
  /// Asks placement again for whatever it has not answered.
  std::function<void()> place_again;
};

/// The actor itself, whatever it can be told.
template <class Handle>
caf::strong_actor_ptr strong(const Handle& handle) {
  return caf::actor_cast<caf::strong_actor_ptr>(handle);
}

/// An actor of which there is one.
struct core_actor {
  const char* role;
  /// Starts it, or its successor, puts it in its seat, and tells those who work with it. May throw.
  caf::strong_actor_ptr (*start)(service_parts&, const core_peers&);
};

/// All of them, in the direction of the data. They are started from the last to the first, since each needs those after it.
std::span<const core_actor> core_actors();
/// The one of that role; null if there is none.
const core_actor* find_core_actor(std::string_view role);

/// Starts a device: a GPU, or the spare one, which is the CPU. Its fields have whatever content: the partitioner clears them
/// before it uses them. May throw.
device_actor start_device(const service_parts& by, device_id id);
device_id spare_device(const service_config& config);

} // namespace tessera
