#pragma once

#include "messages/ids.hpp"

#include <deque>
#include <unordered_set>

namespace tessera {

/// Remembers the last so many ids. Threads: one at a time.
class recent_ids {
public:
  explicit recent_ids(size_t most) : most_(most) {}
  void add(const keyframe_id& id) {
    if (!known_.insert(id).second)
      return;
    order_.push_back(id);
    if (order_.size() > most_) {
      known_.erase(order_.front());
      order_.pop_front();
    }
  }
  [[nodiscard]] bool contains(const keyframe_id& id) const { return known_.contains(id); }

private:
  size_t most_;
  std::deque<keyframe_id> order_;
  std::unordered_set<keyframe_id> known_;
};

} // namespace tessera
