#pragma once

#include "gpu/fields.hpp"

namespace tessera::cuda {

/// A keyframe that is to be taken whole. If there are a peer's rays, there are no others and no points.
struct asked_keyframe {
  take_request what;
  async_fields::take_done answer;
};

} // namespace tessera::cuda
