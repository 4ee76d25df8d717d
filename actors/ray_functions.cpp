#include "actors/ray_functions.hpp"

namespace tessera {

ray_functions default_ray_functions() {
  return {make_rays, partition_rays};
}

} // namespace tessera
