#pragma once

#include "actors/actor_context.hpp"
#include "actors/gpu_turns.hpp"
#include "actors/ray_functions.hpp"
#include "messages/actors.hpp"

namespace tessera {

/// What a keyframe's points came to. Stays in the process.
struct made_rays {
  std::shared_ptr<const std::vector<ray>> rays;
  ray_counts counts;
  partition parts;       ///< the rays by region
  uint64_t beyond = 0;   ///< rays that leave the map
  std::string torn;      ///< why the points could not be read whole; empty if they were
  std::string too_large; ///< why the keyframe would write to too much; empty if not
};

} // namespace tessera

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::made_rays)

namespace tessera {

/// Makes a keyframe's rays and sorts them by region, so that the partitioner does not have to. The rays are made on the GPU whose
/// turn it is, without waiting for it; on the CPU if there is none, or if it refuses or fails. ec::out_of_memory: the process has
/// no memory for them.
using ray_maker_actor = caf::typed_actor<caf::replies_to<integrate_atom, keyframe>::with<made_rays>>;

/// `gpus` may be null: none. See service_config::gpus for who owns them.
ray_maker_actor spawn_ray_maker(caf::actor_system& system, actor_context context, const mapping& map, ray_functions functions,
                                std::shared_ptr<gpu_turns> gpus = nullptr);

} // namespace tessera
