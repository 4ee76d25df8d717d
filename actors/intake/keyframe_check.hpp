#pragma once

#include "actors/base/telemetry.hpp"
#include "messages/map_input.hpp"

#include <optional>
#include <string>

namespace tessera {

/// How large a keyframe may be.
struct keyframe_limits {
  static constexpr uint32_t most_points = 1u << 24;
  /// 1 to 2^24.
  uint32_t max_points = 1u << 22;
};

/// Why a keyframe is not taken.
struct keyframe_fault {
  refusal why = refusal::internal;
  std::string text; ///< the field, the value and the bound
};

/// Checks an id and its session: fault_of_id() of messages/names.hpp.
std::optional<keyframe_fault> check_id(const keyframe_id& id);

/// Checks a pose: finite; a rotation times a scale of least_scale to largest_scale, no mirror, and 0 0 0 1 as its last row,
/// within pose_tolerance.
std::optional<keyframe_fault> check_pose(const pose& world_from_camera);

/// Checks all that can be told without reading the points. Points that are not finite are not a fault: rays leave them out.
std::optional<keyframe_fault> check_keyframe(const keyframe& frame, const keyframe_limits& limits);

/// Checks a keyframe as above, or the id and the pose of a revision, or the id of a retraction.
std::optional<keyframe_fault> check_input(const map_input& what, const keyframe_limits& limits);

/// Checks all that can be told of a correction without the map: 1 to correction::max_entries entries, each of one keyframe or one
/// group that no other is about, with a pose or transform as above, and of a group with a number. Says which entry is bad.
std::optional<keyframe_fault> check_correction(const correction& what);

} // namespace tessera
