#pragma once
// A keyframe's rays, made of its points or fetched, and the regions that they touch, in one launch.

#include "gpu/cuda/fields/field_kernels.hpp"
#include "gpu/cuda/keyframes/ray_kernels.hpp"

#include <cstdint>

namespace tessera::cuda {

/// Item: a ray. Reads it where it lies, perhaps on another device, and puts it where the kernels of this one look for it.
struct fetch_ray {
  const ray* from = nullptr; ///< null: it is there
  ray* to = nullptr;
  TESSERA_HD void operator()(uint64_t i) const { to[i] = from[i]; }
};

/// Item: a cell that has points. Makes its ray, and finds the regions that it touches.
struct make_and_split {
  make_ray make;
  split_rays split;
  TESSERA_HD void operator()(uint64_t i) const {
    make(i);
    split(i);
  }
};

/// Item: a peer's ray. Fetches it, and finds the regions that it touches.
struct fetch_and_split {
  fetch_ray fetch;
  split_rays split;
  TESSERA_HD void operator()(uint64_t i) const {
    fetch(i);
    split(i);
  }
};

} // namespace tessera::cuda
