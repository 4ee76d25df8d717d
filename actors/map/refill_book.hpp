#pragma once

#include "messages/ids.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace tessera {

/// What the fields of regions still lack of the live keyframes, since they were lost, and what of it is on its way: an insertion
/// is read for all regions that lack it, and then taken by them. A part is named by an insertion's serial number and a region.
class refill_book {
public:
  using serial = uint64_t;

  /// Begins a region's refill, in place of an earlier one that was not complete.
  void start(const region_key& region, std::set<serial> insertions) { lacking_[region] = std::move(insertions); }

  /// The insertion is taken out of the map: if the region was still to get it, it must not, and it is not taken away there
  /// either. Answers whether that was so.
  bool cancel(const region_key& region, serial insertion) {
    auto i = lacking_.find(region);
    return i != lacking_.end() && i->second.erase(insertion) > 0;
  }

  /// The next insertion that is lacking, of those that `stays(serial)` holds for. It is being read from now on.
  template <class Stays>
  std::optional<serial> read_next(Stays stays) {
    for (const auto& [region, insertions] : lacking_)
      for (const auto one : insertions)
        if (!being_read_.contains(one) && stays(one)) {
          being_read_.insert(one);
          return one;
        }
    return {};
  }
  /// It was read, or could not be.
  void read(serial insertion) { being_read_.erase(insertion); }

  /// An insertion that some regions take.
  struct part {
    serial insertion;
    std::vector<region_key> regions;
  };
  /// Takes out what an insertion's regions lack of it now; it is being taken from now on. In the order given; perhaps nothing.
  part take(serial insertion, const std::vector<region_key>& regions) {
    part out{insertion, {}};
    std::copy_if(regions.begin(), regions.end(), std::back_inserter(out.regions),
                 [&](const region_key& region) { return cancel(region, insertion); });
    if (!out.regions.empty())
      being_taken_.insert(insertion);
    for (const auto& region : out.regions)
      taking_.insert(region);
    return out;
  }
  /// It was taken; if not, it is lacking again.
  void taken(const part& its, bool done) {
    being_taken_.erase(being_taken_.find(its.insertion));
    for (const auto& region : its.regions) {
      taking_.erase(taking_.find(region));
      if (!done)
        lacking_[region].insert(its.insertion);
    }
  }
  [[nodiscard]] bool being_taken(serial insertion) const { return being_taken_.contains(insertion); }
  /// Insertions that are being read or taken.
  [[nodiscard]] size_t under_way() const { return being_read_.size() + being_taken_.size(); }

  /// Is the region being refilled?
  [[nodiscard]] bool active(const region_key& region) const { return lacking_.contains(region); }
  /// Does it have all, so that its refill may end?
  [[nodiscard]] bool complete(const region_key& region) const {
    auto i = lacking_.find(region);
    return i != lacking_.end() && i->second.empty() && !taking_.contains(region);
  }
  /// Ends a region's refill.
  void finish(const region_key& region) { lacking_.erase(region); }

  [[nodiscard]] bool empty() const { return lacking_.empty(); }
  [[nodiscard]] size_t size() const { return lacking_.size(); }
  [[nodiscard]] std::vector<region_key> regions() const {
    std::vector<region_key> out;
    for (const auto& [region, insertions] : lacking_)
      out.push_back(region);
    return out;
  }

private:
  std::map<region_key, std::set<serial>> lacking_; ///< of regions that are being refilled, what was not sent
  std::set<serial> being_read_;
  std::multiset<serial> being_taken_;
  std::multiset<region_key> taking_; ///< the regions that take them
};

} // namespace tessera
