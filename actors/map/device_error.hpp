#pragma once

#include <caf/error.hpp>

#include <exception>

namespace tessera {

/// Turns what a device's fields threw into the answer to whoever asked: ec::out_of_memory for no_room, ec::no_memory for other
/// want of memory, ec::torn, ec::rays_lost, or ec::bad_keyframe for what would be refused again, also for want of a larger pool
/// (nothing was changed); ec::fields_lost, or ec::device_failed for anything else (the fields are lost).
caf::error device_error(const std::exception_ptr& thrown);

/// Whether a device goes on after it: nothing was changed.
bool leaves_fields_whole(const caf::error& err);

} // namespace tessera
