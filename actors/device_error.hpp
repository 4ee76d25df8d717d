#pragma once

#include <caf/error.hpp>

#include <exception>

namespace tessera {

/// Turns what a device's fields threw into the answer to whoever asked: ec::out_of_memory for std::bad_alloc (nothing was
/// changed), ec::device_failed for anything else (the field is then unknown).
caf::error device_error(const std::exception_ptr& thrown);

} // namespace tessera
