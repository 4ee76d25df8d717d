#pragma once

#include "messages/keyframe.hpp"
#include "messages/ray.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

/// A live keyframe as it is kept: everything that its part of the map can be made of again.
struct stored_keyframe {
  keyframe_id id;
  uint64_t timestamp_ns = 0, received_ns = 0;
  pose world_from_camera;
  ray_batch rays;
  /// The pose it came with, which no revision changes: what comes again under its id is the same keyframe if it has the same rays
  /// and this pose.
  pose came_with;
  std::string source, group;
};

/// What a store holds and where.
struct store_usage {
  uint64_t keyframes = 0, rays = 0;
  uint64_t memory_bytes = 0; ///< rays and index
  uint64_t disk_bytes = 0;
};

/// Keeps the live keyframes. Today's keeps them for the life of the process; a durable journal is another implementation.
///
/// Errors: std::system_error when the disk fails, std::bad_alloc; what was stored before is still there, and what was being
/// stored is not. Threads: one at a time.
class keyframe_store {
public:
  virtual ~keyframe_store() = default;
  /// Adds a keyframe; false, changing nothing, if its id is there already.
  virtual bool put(stored_keyframe frame) = 0;
  /// Returns the keyframe, with its rays; nothing if it is not there.
  [[nodiscard]] virtual std::optional<stored_keyframe> get(const keyframe_id& id) const = 0;
  [[nodiscard]] virtual bool contains(const keyframe_id& id) const = 0;
  /// Forgets a keyframe; false if it is not there.
  virtual bool erase(const keyframe_id& id) = 0;
  /// Gives a keyframe another pose; false if it is not there.
  virtual bool set_pose(const keyframe_id& id, const pose& world_from_camera) = 0;
  /// All ids, oldest first.
  [[nodiscard]] virtual std::vector<keyframe_id> ids() const = 0;
  /// Visits all keyframes, oldest first; their rays are read one keyframe at a time.
  virtual void for_each(const std::function<void(const stored_keyframe&)>& visit) const = 0;
  [[nodiscard]] virtual store_usage usage() const = 0;
};

} // namespace tessera
