#pragma once

#include "messages/keyframe.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace tessera {

/// Gives a live keyframe another pose, as if it had come with it.
struct revision {
  keyframe_id id;
  pose world_from_camera;
  /// Which of the keyframe's revisions it is: one whose number is not larger than that of the last is late, or comes again, and
  /// changes nothing. Without a number it always counts.
  std::optional<uint64_t> number{};
};

/// Takes a keyframe out of the map, as if it had never been there; or keeps it out, if it is yet to come.
struct retraction {
  keyframe_id id;
  uint64_t admission = 0; ///< as a keyframe's
};

/// One of many moves: a keyframe gets another pose, or all live keyframes of a group are moved by one similarity.
struct correction_entry {
  keyframe_id id;    ///< unless it is about a group
  std::string group; ///< unless it is about a keyframe
  pose to;           ///< the keyframe's new pose; of a group the transform: new pose = transform * pose
  /// As a revision's. Of a group each keyframe gets it, also one that comes later; there must be one, since to move by a
  /// transform twice is not to move once.
  std::optional<uint64_t> number{};
};

/// Moves that belong together, as after a loop closure: those of keyframes, then those of groups.
struct correction {
  static constexpr size_t max_entries = size_t{1} << 16;
  std::vector<correction_entry> entries; ///< none is about the same keyframe, or group, as another
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
