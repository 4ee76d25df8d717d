#pragma once

#include "actors/base/actor_context.hpp"
#include "actors/intake/input_policy.hpp"
#include "actors/intake/keyframe_check.hpp"
#include "messages/actors.hpp"

#include <chrono>

namespace tessera {

/// What ingest is told when it starts.
struct ingest_config {
  keyframe_limits limits;
  /// Keyframes given to the partitioner and not answered yet, at most.
  uint32_t credit = 8;
  input_policy policy = input_policy::block;
  std::chrono::milliseconds request_timeout{120'000};
  /// For a request that takes out or moves many keyframes: each has the limits of one, and there may be any number of them.
  std::chrono::milliseconds batch_timeout{std::chrono::hours{1}};
};

/// An ingest as the supervisor sees it: when there is a new partitioner, it gives that one all that the dead one did not answer.
using ingest_setup = ingest_actor::extend<caf::reacts_to<caf::put_atom, partitioner_actor>>;

ingest_setup spawn_ingest(caf::actor_system& system, actor_context context, partitioner_actor partitioner, ingest_config config);

} // namespace tessera
