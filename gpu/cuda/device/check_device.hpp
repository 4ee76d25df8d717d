#pragma once

#include "gpu/fields.hpp"

namespace tessera::cuda {

/// Makes a small map on a device and on the CPU, and compares: rays, field hash, mesh bytes, and that undo leaves nothing. What a
/// device gives must not depend on its make, driver or compiler; if it does, this is where it shows. Leaves the
/// device empty.
///
/// Throws std::runtime_error that says what differs, and whatever the device throws.
void check_device(async_fields& device, const map_settings& map);

} // namespace tessera::cuda
