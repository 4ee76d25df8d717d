#pragma once

namespace tessera {

/// Removes from shared memory what nobody comes back for, and logs how many: segments that producers left half written when they
/// were killed, and those that a service which was killed just then had moved aside to unlink them. Does nothing for want of
/// descriptors: call it now and again.
void remove_abandoned_segments();

} // namespace tessera
