#pragma once

#include "actors/map/change_queue.hpp"

#include <optional>

namespace tessera {

/// A request to take out many keyframes: a change for each of them.
struct clearing {
  keyframe_selection which;
  uint64_t number;      ///< order of arrival, among changes
  size_t left = 1;      ///< parts that are not done: its changes, and the collecting of them
  uint64_t gone = 0;    ///< keyframes that were taken out
  uint64_t stay = 0;    ///< that could not be
  std::string reason{}; ///< why the last of them could not
};
using clearing_ptr = std::shared_ptr<clearing>;

/// The clearings that are not answered. Of all their changes whose turn it is among those of their ids, a few are under way at
/// once.
class clearing_list {
public:
  clearing_ptr add(keyframe_selection which, uint64_t number);
  [[nodiscard]] std::vector<clearing_ptr> all() const { return all_; }
  [[nodiscard]] bool empty() const { return all_.empty(); }
  void clear() { *this = {}; }

  /// It is the turn of a clearing's change.
  void queue(const change_ptr& c) { due_.push_back(c); }
  /// Takes out the next to be started, unless `most` are under way; null if there is none.
  change_ptr next(size_t most);
  /// A change of the clearing that was started is done.
  void count(clearing& of, const verdict& v);
  /// A part of the clearing is done. With the last one it has its answer, and is no longer listed.
  std::optional<verdict> part_done(const clearing_ptr& of);

private:
  std::vector<clearing_ptr> all_;
  std::deque<change_ptr> due_;
  size_t under_way_ = 0;
};

} // namespace tessera
