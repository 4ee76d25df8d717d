#pragma once

#include "toy_service.hpp"

namespace tessera::toy {

/// The keyframe after a revision. Its points are in the world, and move with it.
inline keyframe revised(const keyframe& frame, const pose& to) {
  auto out = frame;
  auto body = std::make_shared<owned_keyframe_body>(dynamic_cast<const owned_keyframe_body&>(*frame.body));
  for (size_t i = 0; i < body->point_data.size(); ++i)
    body->point_data[i] += to.m[4 * (i % 3) + 3] - frame.world_from_camera.m[4 * (i % 3) + 3];
  out.body = std::move(body);
  out.world_from_camera = to;
  return out;
}

} // namespace tessera::toy
