#pragma once

#include "actors/map/keyframe_ledger.hpp"

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace tessera {

/// The keyframes of a store that are to be in the map again: whose turn it is, and which are left out. What fails has its turn
/// again when all others had theirs.
class recovery {
public:
  using position = std::array<float, 3>; ///< metres

  /// `ids`: in the order in which they come. `cameras`: where they are, of as many as are known.
  void begin(std::vector<keyframe_id> ids, const std::vector<std::pair<keyframe_id, position>>& cameras = {});
  /// From now on those whose cameras are nearest to one of these come first; without any it is the order of begin().
  void prefer(const std::vector<position>& near_to);
  /// From begin() until end().
  [[nodiscard]] bool active() const { return active_; }
  /// Whether nothing is to come any more.
  [[nodiscard]] bool over() const { return to_come_.empty(); }
  void end() { active_ = false; }

  /// Takes out the next, unless `most` are under way.
  std::optional<keyframe_id> next(size_t most);
  /// One that was under way could not be read, or taken, now.
  void again(const keyframe_id& id);
  /// One that was under way is in the map, or is no more.
  void done(const keyframe_id& id);
  /// One that was under way found no room. Returns whether so did all others that are left, since the last that was done.
  bool in_vain() { return ++in_vain_ >= to_come_.size(); }
  /// One that is asked for has its turn next.
  void hurry(const keyframe_id& id);
  [[nodiscard]] bool to_come(const keyframe_id& id) const { return to_come_.contains(id); }
  [[nodiscard]] size_t left() const { return to_come_.size(); }

  /// One that was under way is left out: it stays in the store, and is not in the map.
  void leave_out(const keyframe_id& id, keyframe_labels its);
  [[nodiscard]] bool is_left_out(const keyframe_id& id) const { return left_out_.contains(id); }
  [[nodiscard]] std::vector<keyframe_id> left_out(const keyframe_selection& which) const;
  /// The store has it no more.
  void forget(const keyframe_id& id) { left_out_.erase(id); }

private:
  bool active_ = false;
  struct waiting {
    keyframe_id id;
    size_t place = 0; ///< among all
    position camera{};
  };
  std::deque<keyframe_id> hurried_; ///< come first
  std::deque<waiting> waiting_;
  std::deque<keyframe_id> again_;           ///< come last
  std::unordered_set<keyframe_id> to_come_; ///< those that wait, and those that are under way
  size_t in_vain_ = 0;
  std::unordered_map<keyframe_id, keyframe_labels> left_out_;
};

} // namespace tessera
