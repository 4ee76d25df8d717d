#pragma once

#include "messages/ids.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <unordered_map>
#include <vector>

namespace tessera {

/// Which regions have changed since their snapshot was taken, and whose turn it is: a region that was left alone for a while, or
/// one that never is and has waited for long.
class snapshot_book {
public:
  using time_point = std::chrono::steady_clock::time_point;

  void changed(const region_key& region, time_point now) {
    auto& its = regions_.try_emplace(region, times{now, now}).first->second;
    its.last = now;
  }
  /// Takes out up to `most` regions that did not change for `quiet`, or that changed first `latest` ago; those that wait longest
  /// first.
  std::vector<region_key> take_due(time_point now, std::chrono::milliseconds quiet, std::chrono::milliseconds latest,
                                   size_t most) {
    std::vector<std::pair<time_point, region_key>> due;
    for (const auto& [region, its] : regions_)
      if (now - its.last >= quiet || now - its.first >= latest)
        due.emplace_back(its.first, region);
    any_left_ = due.size() > most;
    const auto taken = std::min(due.size(), most);
    std::partial_sort(due.begin(), due.begin() + static_cast<std::ptrdiff_t>(taken), due.end());
    due.resize(taken);
    std::vector<region_key> out;
    for (const auto& [since, region] : due) {
      out.push_back(region);
      regions_.erase(region);
    }
    return out;
  }
  /// Whether more were due when some were taken last.
  [[nodiscard]] bool any_left() const { return any_left_; }
  [[nodiscard]] bool empty() const { return regions_.empty(); }
  [[nodiscard]] size_t size() const { return regions_.size(); }

private:
  struct times {
    time_point first, last; ///< changes since the snapshot
  };
  std::unordered_map<region_key, times> regions_;
  bool any_left_ = false;
};

} // namespace tessera
