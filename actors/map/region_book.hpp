#pragma once

#include "messages/ids.hpp"

#include <algorithm>
#include <chrono>
#include <deque>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tessera {

/// The regions that hold something or did a moment ago: what is in each, and what its mesher is to be told. `Mesher` is a handle,
/// false if there is none.
template <class Mesher>
class region_book {
public:
  using time_point = std::chrono::steady_clock::time_point;

  struct region {
    Mesher mesher{};
    bool asked = false; ///< somebody was asked for the mesher
    bool down = false;  ///< the mesher was found dead; a successor is to come
    bool dirty = false; ///< the mesher that is to come is told so
    uint64_t keyframe_ns = 0, received_ns = 0;
    std::vector<uint64_t> insertions; ///< of live keyframes that are in it, ascending
    uint64_t questions = 0;           ///< asked of this mesher and not answered
    uint64_t idle = 0;                ///< which time it was noted as idle, among all regions

    /// A mesher that is down has a successor by now, of which this is to be told; and one that was asked for comes.
    [[nodiscard]] bool idles() const { return insertions.empty() && !down && (mesher || !asked); }
  };

  [[nodiscard]] region* find(const region_key& key) {
    const auto i = regions_.find(key);
    return i == regions_.end() ? nullptr : &i->second;
  }
  region& operator[](const region_key& key) { return regions_[key]; }
  void erase(const region_key& key) { regions_.erase(key); }
  [[nodiscard]] size_t size() const { return regions_.size(); }
  [[nodiscard]] auto begin() { return regions_.begin(); }
  [[nodiscard]] auto end() { return regions_.end(); }
  void clear() { regions_.clear(); }
  [[nodiscard]] bool any_down() const {
    return std::any_of(regions_.begin(), regions_.end(), [](const auto& one) { return one.second.down; });
  }

  // -- what is in them ------------------------------------------------------------
  /// They have an insertion, the newest.
  void insert(const std::vector<region_key>& keys, uint64_t serial) {
    for (const auto& key : keys) {
      regions_[key].insertions.push_back(serial);
      emptied_.erase(key);
    }
  }
  /// They have it no more. Returns those that hold nothing now.
  std::vector<region_key> remove(const std::vector<region_key>& keys, uint64_t serial) {
    std::vector<region_key> empty;
    for (const auto& key : keys) {
      auto& its = regions_[key].insertions;
      its.erase(std::lower_bound(its.begin(), its.end(), serial));
      if (its.empty())
        empty.push_back(key);
    }
    emptied_.insert(empty.begin(), empty.end());
    return empty;
  }
  /// Whether there are regions that hold nothing, and whose fields may still be there.
  [[nodiscard]] bool any_emptied() const { return !emptied_.empty(); }
  /// Takes these out.
  std::set<region_key> take_emptied() { return std::exchange(emptied_, {}); }

  // -- what their meshers are told ------------------------------------------------
  /// The region's field has changed, by a keyframe of these times, or (0, 0) by one that went: of what its mesher was not told
  /// yet, the newest keyframe's count.
  region& touch(const region_key& key, uint64_t keyframe_ns, uint64_t received_ns) {
    auto& its = regions_[key];
    its.dirty = true;
    if (received_ns != 0 && keyframe_ns >= its.keyframe_ns) {
      its.keyframe_ns = keyframe_ns;
      its.received_ns = received_ns;
    }
    return its;
  }
  /// A question to a mesher is answered, or will not be. Returns the region if the mesher is still its own; else the mesher has a
  /// successor, and the region perhaps none.
  region* question_done(const region_key& key, const Mesher& mesher) {
    auto* its = find(key);
    if (its == nullptr || its->mesher != mesher)
      return nullptr;
    --its->questions;
    return its;
  }

  // -- since when they hold nothing -----------------------------------------------
  struct idle_region {
    region_key key;
    uint64_t number;
    time_point since;
  };
  /// The region idles, since now.
  void note_idle(const region_key& key, time_point now) {
    regions_[key].idle = ++idles_;
    idle_.push_back({key, idles_, now});
  }
  /// Takes out those that were noted until then.
  std::vector<idle_region> idle_until(time_point then) {
    std::vector<idle_region> out;
    for (; !idle_.empty() && idle_.front().since <= then; idle_.pop_front())
      out.push_back(idle_.front());
    return out;
  }
  /// The next to be taken out; null if there is none.
  [[nodiscard]] const idle_region* next_idle() const { return idle_.empty() ? nullptr : &idle_.front(); }
  /// The region, if it idles and was not noted again since.
  [[nodiscard]] region* still_idle(const idle_region& noted) {
    auto* its = find(noted.key);
    return its != nullptr && its->idle == noted.number && its->idles() ? its : nullptr;
  }

private:
  std::unordered_map<region_key, region> regions_;
  std::set<region_key> emptied_;
  std::deque<idle_region> idle_; ///< by time
  uint64_t idles_ = 0;
};

} // namespace tessera
