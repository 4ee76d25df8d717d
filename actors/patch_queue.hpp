#pragma once

#include "messages/map.hpp"
#include "messages/talk.hpp"

#include <optional>
#include <unordered_map>

namespace tessera {

/// What one viewer still lacks: the newest patch of each region, at most once, most wanted first; and what it was sent but did
/// not acknowledge. Its size is bounded by the number of regions, however long the viewer stalls; the patches' bytes are shared
/// with all.
class patch_queue {
public:
  /// `region_m` is the edge of a region, for ordering by distance.
  explicit patch_queue(float region_m) : region_m_{region_m} {}

  /// A region has a newer patch; it replaces one that was not taken yet. An older one than known is ignored.
  void put(const patch& newest);

  /// The viewer looks from there: visible regions first, near ones before far ones. Until then: first come, first served.
  void look(const view& from) { view_ = from; }

  /// Takes the most wanted patch out and counts it as unacknowledged.
  std::optional<patch> take();

  /// The viewer has these on screen (or newer ones).
  void acknowledge(const ack& seen);

  /// Regions that wait.
  [[nodiscard]] size_t pending() const { return pending_.size(); }
  /// Bytes sent and not acknowledged.
  [[nodiscard]] uint64_t unacknowledged() const { return unacknowledged_; }

private:
  struct waiting {
    patch newest;
    uint64_t turn; ///< order of arrival; kept when a newer patch replaces it
  };
  struct sent {
    uint64_t version = 0; ///< newest sent
    uint64_t bytes = 0;   ///< of all versions not acknowledged
  };

  /// Smaller is more wanted.
  [[nodiscard]] double rank(const region_key& region) const;

  float region_m_;
  std::optional<view> view_;
  std::unordered_map<region_key, waiting> pending_;
  std::unordered_map<region_key, sent> sent_;
  uint64_t unacknowledged_ = 0, turns_ = 0;
};

} // namespace tessera
