#pragma once

namespace tessera {

/// How a recording is played.
struct recording_options {
  /// Offers everything so long after the first as it was recorded; else sequence_options::rate tells.
  bool own_times = false;
  /// Keyframes are received when they are offered, as a service wants it, that tells how old its map is; else when the recording
  /// says.
  bool received_now = false;
};

} // namespace tessera
