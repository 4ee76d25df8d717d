#pragma once

#include "messages/ids.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <utility>

namespace tessera {

/// Remembers the last so many ids, each with a mark of what it came with and when, but those that were taken out again. Threads:
/// one at a time.
class recent_ids {
public:
  using clock = std::chrono::steady_clock;

  explicit recent_ids(size_t most) : most_(most) {}
  void add(const keyframe_id& id, size_t mark, clock::time_point now = clock::now()) {
    known_[id] = {mark, ++number_, now};
    order_.emplace_back(id, number_);
    if (order_.size() <= most_)
      return;
    // One that was added again since, or taken out, has another number by now, or none.
    auto oldest = known_.find(order_.front().first);
    if (oldest != known_.end() && oldest->second.number == order_.front().second)
      known_.erase(oldest);
    order_.pop_front();
  }
  void remove(const keyframe_id& id) { known_.erase(id); }
  /// Whether it was added with that mark, at `since` or later.
  [[nodiscard]] bool contains(const keyframe_id& id, size_t mark, clock::time_point since = clock::time_point::min()) const {
    auto found = known_.find(id);
    return found != known_.end() && found->second.mark == mark && found->second.at >= since;
  }

private:
  struct entry {
    size_t mark;
    uint64_t number;
    clock::time_point at;
  };
  size_t most_;
  uint64_t number_ = 0;
  std::deque<std::pair<keyframe_id, uint64_t>> order_;
  std::unordered_map<keyframe_id, entry> known_;
};

} // namespace tessera
