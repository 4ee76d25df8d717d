#pragma once

#include "actors/map/group_revisions.hpp"
#include "actors/store/keyframe_store.hpp"
#include "messages/map_input.hpp"

#include <optional>
#include <unordered_map>
#include <vector>

namespace tessera {

/// A keyframe's rays under one pose, in the regions that have them.
struct insertion {
  uint64_t serial = 0; ///< larger than that of all before it
  pose world_from_camera;
  std::vector<region_key> regions; ///< sorted
  uint64_t stamp = 0;              ///< as its reach has it
  bool leaving = false;            ///< about to be taken out: regions that lack it need not get it any more
};

/// As the store keeps it.
inline keyframe_reach reach_of(const insertion& in) {
  return {in.stamp, in.regions};
}

struct live_keyframe {
  uint64_t timestamp_ns = 0, received_ns = 0, rays = 0;
  pose came_with;
  std::string source, group;
  std::optional<uint64_t> revision{};  ///< the largest number of one that moved it, or its group
  uint64_t admission = 0;              ///< as the keyframe's
  bool stored = false;                 ///< the store has it; until then nobody is told of it
  std::vector<insertion> insertions{}; ///< one; while it is revised, two: the old one first
};

/// What a keyframe can be selected by, beside its id.
struct keyframe_labels {
  std::string source, group;
  uint64_t timestamp_ns = 0;
  uint64_t admission = 0;
};

/// Whether a keyframe of this id and with these labels is meant.
bool matches(const keyframe_selection& which, const keyframe_id& id, const keyframe_labels& its);
/// Whether the retraction of one that never came is meant: not if something is asked that only the keyframe could tell.
bool matches(const keyframe_selection& which, const retraction& of);

/// Which keyframes are live, and under which poses they are in the map.
class keyframe_ledger {
public:
  [[nodiscard]] bool contains(const keyframe_id& id) const { return live_.contains(id); }
  /// Null if it is not live.
  [[nodiscard]] const live_keyframe* find(const keyframe_id& id) const;
  [[nodiscard]] live_keyframe& at(const keyframe_id& id) { return live_.at(id); }
  [[nodiscard]] std::vector<keyframe_id> matching(const keyframe_selection& which) const;
  [[nodiscard]] size_t size() const { return live_.size(); }
  /// Of all live keyframes.
  [[nodiscard]] uint64_t rays() const;

  void enter(const keyframe_id& id, live_keyframe keyframe);
  /// One that has no insertions left.
  void erase(const keyframe_id& id);
  /// The moves of groups; which of them have keyframes it is told by enter() and erase().
  [[nodiscard]] group_revisions& groups() { return groups_; }

  /// The live keyframe is in these regions under this pose, too. The reference holds until the next insertion of the keyframe.
  insertion& insert(const keyframe_id& id, const pose& world_from_camera, std::vector<region_key> regions, uint64_t stamp = 0);
  /// Nobody has the insertion any more.
  void remove(uint64_t serial);
  [[nodiscard]] insertion& inserted(uint64_t serial);
  /// Whose insertion it is; null if it is one no more.
  [[nodiscard]] const keyframe_id* id_of(uint64_t serial) const;
  /// Whether it is an insertion, and stays one.
  [[nodiscard]] bool stays(uint64_t serial) { return id_of_.contains(serial) && !inserted(serial).leaving; }

private:
  std::unordered_map<keyframe_id, live_keyframe> live_;
  std::unordered_map<uint64_t, keyframe_id> id_of_; ///< by insertion
  uint64_t serials_ = 0;
  group_revisions groups_;
};

} // namespace tessera
