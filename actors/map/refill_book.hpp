#pragma once

#include "messages/ids.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace tessera {

/// What the fields of regions still lack of the live keyframes, since they were lost. A part is named by the serial number of a
/// keyframe's insertion (its rays under one pose) and a region.
class refill_book {
public:
  using serial = uint64_t;

  /// Begins a region's refill, in place of an earlier one that was not complete.
  void start(const region_key& region, std::set<serial> insertions) { waiting_[region] = std::move(insertions); }

  /// The insertion is taken out of the map: if the region was still to get it, it must not, and it is not taken away there
  /// either. Answers whether that was so.
  bool cancel(const region_key& region, serial insertion) {
    auto i = waiting_.find(region);
    return i != waiting_.end() && i->second.erase(insertion) > 0;
  }

  /// A part to be sent: of one insertion, to some regions.
  struct due {
    serial insertion;
    std::vector<region_key> regions;
  };

  /// The next insertion of which a part is due, of those that `wanted(serial)` holds for.
  template <class Wanted>
  [[nodiscard]] std::optional<serial> next(Wanted wanted) const {
    for (const auto& [region, insertions] : waiting_)
      if (const auto first = std::find_if(insertions.begin(), insertions.end(), wanted); first != insertions.end())
        return *first;
    return {};
  }

  /// Those of an insertion's regions that wait for it now: takes these parts out, to be sent. In the order given.
  std::vector<region_key> take(serial insertion, const std::vector<region_key>& regions) {
    std::vector<region_key> out;
    std::copy_if(regions.begin(), regions.end(), std::back_inserter(out),
                 [&](const region_key& region) { return cancel(region, insertion); });
    return out;
  }

  /// One more part is due, or due again because it did not fit into memory.
  void add(const region_key& region, serial insertion) { waiting_[region].insert(insertion); }

  /// Is the region being refilled?
  [[nodiscard]] bool active(const region_key& region) const { return waiting_.contains(region); }
  /// Is there nothing more to send to the region?
  [[nodiscard]] bool all_sent(const region_key& region) const {
    auto i = waiting_.find(region);
    return i == waiting_.end() || i->second.empty();
  }
  /// Ends a region's refill.
  void finish(const region_key& region) { waiting_.erase(region); }

  [[nodiscard]] bool empty() const { return waiting_.empty(); }
  [[nodiscard]] size_t size() const { return waiting_.size(); }
  [[nodiscard]] std::vector<region_key> regions() const {
    std::vector<region_key> out;
    for (const auto& [region, insertions] : waiting_)
      out.push_back(region);
    return out;
  }

private:
  std::map<region_key, std::set<serial>> waiting_;
};

} // namespace tessera
