#pragma once

namespace tessera {

/// What to do with keyframes that come faster than the map can take them.
enum class input_policy {
  block, ///< give no credit: the source waits
  newest ///< let the oldest waiting keyframe go; it is counted as dropped
};

} // namespace tessera
