#pragma once

#include "toy_service.hpp"

namespace tessera::toy {

/// The keyframe after a revision. Its points are in the world, and move and grow with it.
inline keyframe revised(const keyframe& frame, const pose& to) {
  auto out = frame;
  auto body = std::make_shared<owned_keyframe_body>(dynamic_cast<const owned_keyframe_body&>(*frame.body));
  const auto larger = scale_of(to) / scale_of(frame.world_from_camera);
  for (size_t i = 0; i < body->point_data.size(); ++i) {
    const auto axis = 4 * (i % 3) + 3;
    body->point_data[i] = (body->point_data[i] - frame.world_from_camera.m[axis]) * larger + to.m[axis];
  }
  out.body = std::move(body);
  out.world_from_camera = to;
  return out;
}

} // namespace tessera::toy
