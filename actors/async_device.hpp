#pragma once

#include "actors/actor_context.hpp"
#include "gpu/cuda/async_fields.hpp"
#include "messages/actors.hpp"

#include <memory>

namespace tessera {

/// Starts a device over fields that answer in threads of their own, as a GPU's do. What is asked of it is passed on at once, and
/// what the fields answer comes back to it as a message: neither waits for the other.
///
/// The fields' std::bad_alloc is answered with ec::out_of_memory (nothing was changed). Any other exception ends the device with
/// ec::device_failed: all that the fields held is lost. A device that was killed may have a successor over the same fields: what
/// the first one asked for takes effect before what that one does.
///
/// Somebody who is no actor must hold on to `fields` until the device has ended: the last reference waits for their threads.
device_actor spawn_async_device(caf::actor_system& system, actor_context context, device_id id,
                                std::shared_ptr<cuda::async_fields> fields);

} // namespace tessera
