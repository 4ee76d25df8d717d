#pragma once

#include "actors/map/change_queue.hpp"

#include <optional>

namespace tessera {

/// Many changes that were asked for together: keyframes that go, or move.
struct batch {
  uint64_t number;                            ///< order of arrival, among changes
  std::optional<keyframe_selection> clears{}; ///< what is to go; nothing: it is a correction
  std::vector<correction_entry> groups{};     ///< that are to move
  uint64_t last = number;                     ///< number of the last of its changes that was named
  bool collected = false;                     ///< it is known which keyframes it means
  size_t left = 1;                            ///< parts that are not done: its changes, and the collecting of them
  uint64_t done = 0;                          ///< keyframes that went, or are where they are to be
  keyframes_left others{};                    ///< and those that did not
  std::string reason{};                       ///< why the last of them was refused, or could not now
  /// Its changes that are done. What comes after these waits for the whole batch: a successor is asked for all of it again, and
  /// must not undo what came later.
  std::vector<change_ptr> ended{};
};
using batch_ptr = std::shared_ptr<batch>;

/// The batches that are not answered. Of all their changes whose turn it is among those of their ids, a few are under way at
/// once.
class batch_list {
public:
  batch_ptr add(uint64_t number);
  /// Those of which it is not known which keyframes they mean.
  [[nodiscard]] std::vector<batch_ptr> uncollected() const;
  [[nodiscard]] bool empty() const { return all_.empty(); }
  /// Whether the change waits for a batch that came before it: nothing is begun while it is not known which keyframes the batch
  /// means; and a keyframe that comes must not be in the store before those of its group have moved.
  [[nodiscard]] bool holds_up(const change& c) const;
  void clear();

  /// It is the turn of a batch's change.
  void queue(const change_ptr& c) { due_.push_back(c); }
  /// Takes out the next to be started, unless `most` are under way; null if there is none.
  change_ptr next(size_t most);
  /// A change of the batch that was started is done.
  void count(batch& of, const verdict& v);
  /// A part of the batch is done. With the last one it has its answer, and is no longer listed.
  std::optional<verdict> part_done(const batch_ptr& of);

private:
  std::vector<batch_ptr> all_;
  std::deque<change_ptr> due_;
  size_t under_way_ = 0;
};

} // namespace tessera
