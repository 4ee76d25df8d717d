#pragma once

#include "messages/keyframe.hpp"

#include <variant>

namespace tessera {

/// Gives a live keyframe another pose, as if it had come with it.
struct revision {
  keyframe_id id;
  pose world_from_camera;
};

/// Takes a keyframe out of the map, as if it had never been there.
struct retraction {
  keyframe_id id;
};

/// What a source has for the map, about one keyframe: it comes, moves or goes.
using map_input = std::variant<keyframe, revision, retraction>;

/// The keyframe that it is about.
inline const keyframe_id& id_of(const map_input& what) {
  return std::visit([](const auto& one) -> const keyframe_id& { return one.id; }, what);
}

inline keyframe_id& id_of(map_input& what) {
  return std::visit([](auto& one) -> keyframe_id& { return one.id; }, what);
}

} // namespace tessera
