#pragma once

#include "gpu/backend.hpp"

#include <functional>

namespace tessera {

/// How rays are made and sorted by region; replaceable, so that actors are tested without the field.
struct ray_functions {
  std::function<std::vector<ray>(const mapping&, const keyframe_body&, const pose&, ray_counts&)> make;
  std::function<partition(const mapping&, std::span<const ray>, const pose&, uint64_t& beyond)> split;
};

/// make_rays() and partition_rays() of gpu/backend.hpp.
ray_functions default_ray_functions();

} // namespace tessera
