#pragma once

#include "actors/viewers/patch_board.hpp"
#include "actors/viewers/patch_queue.hpp"

#include <unordered_set>

namespace tessera {

/// Finds out what a viewer that joins lacks of a board: in pieces, since a large map and a long list of what the viewer holds
/// would occupy a thread for long.
class catch_up {
public:
  /// About how many regions are looked at in one piece.
  static constexpr size_t at_once = 500;

  catch_up() = default;
  /// `have`: what the viewer holds of this run.
  catch_up(patch_board::picture now, const std::vector<held_patch>& have);

  [[nodiscard]] bool done() const { return next_ == now_.size(); }
  /// A patch of a region came that is newer than the picture's.
  void heard(const region_key& region);
  /// Looks at the next piece: what the viewer lacks goes into the queue, and what it holds that is not in the picture as gone.
  void step(patch_queue& queue);

private:
  void look_at(size_t shard, patch_queue& queue);

  patch_board::picture now_;
  size_t next_ = 0;                ///< shard
  std::vector<held_patch> have_;   ///< by shard
  std::vector<size_t> have_first_; ///< of each shard, and the end
  std::unordered_set<region_key> heard_;
};

} // namespace tessera
