#pragma once

#include "messages/ids.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <unordered_map>
#include <vector>

namespace tessera {

/// Which insertions of keyframes something died over, and how often. A mesher is known to have died over what is in its region
/// and in no surface that was made of it; a device over what it was taking.
class suspects {
public:
  using serial = uint64_t; ///< of an insertion

  struct finding {
    std::vector<serial> in_hand; ///< what the mesher may have died over, ascending
    std::vector<serial> deadly;  ///< of these, those with which meshers died `most` times or more
  };
  /// The region's mesher died. `shown`: the newest insertion in a surface that it made, 0 if none; `insertions`: those of its
  /// region, ascending.
  finding died(const region_key& region, serial shown, const std::vector<serial>& insertions, uint32_t most) {
    auto& its = regions_[region];
    its.shown = std::max(its.shown, shown);
    finding out;
    std::map<serial, uint32_t> deaths;
    for (const auto one : insertions) {
      if (one <= its.shown)
        continue;
      out.in_hand.push_back(one);
      const auto before = its.deaths.find(one);
      if ((deaths[one] = 1 + (before == its.deaths.end() ? 0 : before->second)) >= most)
        out.deadly.push_back(one);
    }
    its.deaths = std::move(deaths);
    return out;
  }
  /// A surface was made of the region that shows the insertion, and all before it.
  void showed(const region_key& region, serial shown) {
    auto& its = regions_[region];
    its.shown = std::max(its.shown, shown);
  }
  /// How often meshers of the region died with it in hand.
  [[nodiscard]] uint32_t deaths(const region_key& region, serial one) const {
    const auto i = regions_.find(region);
    if (i == regions_.end())
      return 0;
    const auto its = i->second.deaths.find(one);
    return its == i->second.deaths.end() ? 0 : its->second;
  }
  /// The region is no more.
  void forget(const region_key& region) { regions_.erase(region); }

  /// A device died as it took the insertion. Answers how often that was so.
  uint32_t device_died(serial one) { return ++device_deaths_[one]; }
  /// It was taken, or is no more.
  void clear(serial one) { device_deaths_.erase(one); }

private:
  struct record {
    serial shown = 0;
    std::map<serial, uint32_t> deaths{}; ///< of those that are newer
  };
  std::unordered_map<region_key, record> regions_; ///< whose meshers died
  std::unordered_map<serial, uint32_t> device_deaths_;
};

} // namespace tessera
