#pragma once

#include "actors/viewers/patch_board.hpp"
#include "actors/viewers/patch_queue.hpp"

#include <optional>
#include <unordered_set>

namespace tessera {

/// Finds out what a viewer that joins lacks of a board: in pieces, since a large map and a long list of what the viewer holds
/// would occupy a thread for long.
class catch_up {
public:
  /// About how many regions are looked at in one piece.
  static constexpr size_t at_once = 500;

  /// What the viewer holds and the picture does not explain.
  struct doubts {
    std::vector<held_patch> unknown; ///< regions that may come yet
    std::vector<held_patch> newer;   ///< than what there is
  };

  catch_up() = default;
  /// `have`: what the viewer holds of this epoch. `whole`: regions that are not in the picture are gone; else they may come yet.
  catch_up(patch_board::picture now, const std::vector<held_patch>& have, bool whole = true);

  [[nodiscard]] bool done() const { return next_ == now_.size(); }
  /// A patch of a region came that is newer than the picture's. Answers what the viewer holds of it, if that was not looked at.
  std::optional<held_patch> heard(const region_key& region);
  /// Regions that are not in the picture are gone, and do not come any more.
  void end_waiting() { whole_ = true; }
  /// Looks at the next piece: what the viewer lacks goes into the queue, and what it holds that is gone. Adds to `doubts`.
  void step(patch_queue& queue, doubts& its);

private:
  void look_at(size_t shard, patch_queue& queue, doubts& its);

  patch_board::picture now_;
  bool whole_ = true;
  size_t next_ = 0;                ///< shard
  std::vector<held_patch> have_;   ///< by shard
  std::vector<size_t> have_first_; ///< of each shard, and the end
  std::unordered_set<region_key> heard_;
};

} // namespace tessera
