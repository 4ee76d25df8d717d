#pragma once

#include "messages/map.hpp"
#include "messages/talk.hpp"

#include <deque>
#include <map>
#include <optional>
#include <queue>
#include <unordered_map>
#include <vector>

namespace tessera {

/// What one viewer still lacks: the newest patch of each region, at most once, most wanted first; and what it was sent but did
/// not acknowledge. Its size is bounded by the number of regions, however long the viewer stalls; the patches' bytes are shared
/// with all.
///
/// Regions that wait are kept along a space-filling curve, on which every cube of them is one stretch. The most wanted one is
/// searched for from cubes to their parts, the nearest first, and the search goes on where it was with the next patch: a view
/// costs nothing until something is taken, and what is taken under one view costs O(log n) each, whatever waits. Where very many
/// cubes are as near as each other, as from very far away, the search ends after so many with what it is at.
class patch_queue {
public:
  /// `region_m` is the edge of a region, for ordering by distance.
  explicit patch_queue(float region_m) : region_m_{region_m} {}

  /// A region has a newer patch; it replaces one that was not taken yet. An older one than known is ignored.
  void put(const patch& newest);

  /// The viewer holds a region that is no more: it is to be sent an empty patch, under the version after the one it holds. These
  /// wait apart, and take turns with patches.
  void put_gone(const held_patch& held) { gone_.push_back(held); }

  /// The viewer looks from there: visible regions first, near ones before far ones. Until then: first come, first served.
  void look(const view& from);

  /// Takes the most wanted patch out, for the caller to count, or to put back. One without triangles says that a region is gone.
  std::optional<patch> take();
  /// A patch that was taken is sent, as so many bytes, perhaps of cells: counts it as unacknowledged.
  void count(const patch& taken, uint64_t bytes, bool cells = false);

  /// The viewer came with this version, which it holds as cells, if it takes those.
  void hold(const held_patch& held);
  /// The viewer holds nothing of it any more.
  void forget(const region_key& region);
  /// The version of a region that the viewer holds as cells, or will once it has what was sent; 0: none.
  [[nodiscard]] uint64_t cells_of(const region_key& region) const;

  /// The viewer has these on screen (or newer ones).
  void acknowledge(const ack& seen);

  /// Regions that wait.
  [[nodiscard]] size_t pending() const { return pending_.size() + gone_.size(); }
  /// Cubes that the search has opened: what it has cost until now.
  [[nodiscard]] uint64_t opened() const { return opened_; }
  /// Those that one patch may cost.
  static constexpr uint64_t most_opened = 1'000;
  /// Bytes sent and not acknowledged.
  [[nodiscard]] uint64_t unacknowledged() const { return unacknowledged_; }

private:
  struct waiting {
    patch newest;
    uint64_t turn; ///< order of arrival; kept when a newer patch replaces it
  };
  struct sent {
    uint64_t version = 0; ///< newest sent
    uint64_t cells = 0;   ///< the same, if that had cells; else 0
    uint64_t bytes = 0;   ///< of all versions not acknowledged
    bool empty = false;   ///< the newest sent has no triangles
  };

  /// Order along the curve (Morton's).
  struct along_curve {
    bool operator()(const region_key& a, const region_key& b) const;
  };
  using line = std::map<region_key, waiting, along_curve>;

  /// A step of the search: a region, or a cube of 2^level regions an edge that has several.
  struct step {
    double rank;   ///< of the region, or of any in the cube at best
    uint64_t turn; ///< of the region
    region_key low;
    int level; ///< 0: a region
  };
  struct later {
    bool operator()(const step& a, const step& b) const;
  };

  /// Smaller is more wanted: a lower bound for all regions of a cube, exact for a region.
  [[nodiscard]] double rank(const region_key& low, int level) const;
  /// Adds what stands from `first` up to and without `end`, as a region or the least cube around all.
  void search(line::const_iterator first, line::const_iterator end);
  void search_parts(const step& cube);
  line::iterator most_wanted();
  std::optional<patch> take_gone();

  float region_m_;
  std::optional<view> view_;
  line pending_;
  std::deque<std::pair<uint64_t, region_key>> turns_waiting_;  ///< in their order, while there is no view
  std::priority_queue<step, std::vector<step>, later> search_; ///< under the view; covers all that waits, some of it twice
  std::vector<held_patch> gone_;
  bool gone_next_ = false;
  std::unordered_map<region_key, sent> sent_;
  uint64_t unacknowledged_ = 0, turns_ = 0, opened_ = 0;
};

} // namespace tessera
