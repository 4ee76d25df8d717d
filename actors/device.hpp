#pragma once

#include "actors/actor_context.hpp"
#include "gpu/backend.hpp"
#include "messages/actors.hpp"

#include <memory>

namespace tessera {

/// Starts a device that does its work on `workers` actors at once. Jobs of different regions run side by side; those of one
/// region run one after another in the order they came, also across a mesher's death.
///
/// A backend's std::bad_alloc is answered with ec::out_of_memory (nothing was changed), any other exception with
/// ec::device_failed (the region's field is then unknown and must be dropped).
device_actor spawn_device(caf::actor_system& system, actor_context context, device_id id, std::shared_ptr<backend> fields,
                          uint32_t workers);

} // namespace tessera
