#pragma once

#include "messages/ids.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace tessera {

/// What the fields of regions still lack of the live keyframes, since they were lost or are those of an earlier process, and what
/// of it is on its way: an insertion is read for all regions that lack it, and then taken by them; or a region takes many from
/// its snapshot. A part is named by an insertion's serial number and a region.
class refill_book {
public:
  using serial = uint64_t;

  /// Begins a region's refill, in place of an earlier one that was not complete.
  void start(const region_key& region, std::set<serial> insertions) {
    if (const auto old = lacking_.extract(region))
      for (const auto one : old.mapped())
        one_less(one);
    for (const auto one : insertions)
      ++left_[one];
    lacking_[region] = std::move(insertions);
    note(region);
  }

  /// The insertion is taken out of the map: if the region was still to get it, it must not, and it is not taken away there
  /// either. Answers whether that was so.
  bool cancel(const region_key& region, serial insertion) {
    const auto lacked = remove(region, insertion);
    if (lacked)
      one_less(insertion);
    return lacked;
  }

  /// The region has a snapshot: until release() nothing else fills it.
  void hold(const region_key& region) {
    held_.insert(region);
    note(region);
  }
  void release(const region_key& region) {
    held_.erase(region);
    note(region);
  }
  /// Takes these insertions out of what a region lacks; they are being taken from now on. If it lacks not all of them, or one
  /// does not stay (`stays(serial)`), nothing changes, and the answer is false.
  template <class Stays>
  bool take_all(const region_key& region, const std::vector<serial>& insertions, Stays stays) {
    const auto i = lacking_.find(region);
    if (i == lacking_.end()
        || !std::all_of(insertions.begin(), insertions.end(), [&](serial one) { return i->second.contains(one) && stays(one); }))
      return false;
    for (const auto one : insertions) {
      remove(region, one);
      being_added_.insert(one);
    }
    taking_.insert(region);
    return true;
  }
  /// They were taken; if not, they are lacking again.
  void all_taken(const region_key& region, const std::vector<serial>& insertions, bool done) {
    taking_.erase(taking_.find(region));
    for (const auto one : insertions) {
      being_added_.erase(being_added_.find(one));
      settle(region, one, done);
    }
  }

  /// These regions come first, in this order.
  void prefer(const std::vector<region_key>& order) {
    ranks_.clear();
    for (const auto& region : order)
      ranks_.emplace(region, ranks_.size());
    for (const auto& [rank, region] : std::exchange(ready_, {}))
      note(region);
  }
  /// The next insertion that is lacking, of those that `stays(serial)` holds for; those that failed come last. It is being read
  /// from now on.
  template <class Stays>
  std::optional<serial> read_next(Stays stays) {
    auto next = find_next(stays, false);
    if (!next && !failed_.empty())
      next = find_next(stays, true);
    if (next)
      being_read_.insert(*next);
    return next;
  }
  /// One that was being taken found no room. Whether so did all others that are lacking, since the last that was taken.
  template <class Stays>
  bool in_vain(serial insertion, Stays stays) {
    failed_.insert(insertion);
    return under_way() == 0 && !find_next(stays, false);
  }
  /// Whatever failed may find room now.
  void hope() { failed_.clear(); }
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
                 [&](const region_key& region) { return !held_.contains(region) && remove(region, insertion); });
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
      settle(region, its.insertion, done);
    }
  }
  [[nodiscard]] bool being_taken(serial insertion) const {
    return being_taken_.contains(insertion) || being_added_.contains(insertion);
  }
  /// Insertions that are being read or taken.
  [[nodiscard]] size_t under_way() const { return being_read_.size() + being_taken_.size(); }

  /// Is the region being refilled?
  [[nodiscard]] bool active(const region_key& region) const { return lacking_.contains(region); }
  /// Does it have all, so that its refill may end?
  [[nodiscard]] bool complete(const region_key& region) const {
    auto i = lacking_.find(region);
    return i != lacking_.end() && i->second.empty() && !taking_.contains(region);
  }
  /// Ends a region's refill, which is complete.
  void finish(const region_key& region) { lacking_.erase(region); }

  /// How many insertions are not in all their regions.
  [[nodiscard]] size_t insertions() const { return left_.size(); }
  [[nodiscard]] bool empty() const { return lacking_.empty(); }
  [[nodiscard]] size_t size() const { return lacking_.size(); }
  [[nodiscard]] std::vector<region_key> regions() const {
    std::vector<region_key> out;
    for (const auto& [region, insertions] : lacking_)
      out.push_back(region);
    return out;
  }

private:
  template <class Stays>
  std::optional<serial> find_next(Stays stays, bool of_failed) const {
    for (const auto& [rank, region] : ready_)
      for (const auto one : lacking_.at(region))
        if (!being_read_.contains(one) && failed_.contains(one) == of_failed && stays(one))
          return one;
    return {};
  }

  /// Takes it out of what the region lacks, if it does.
  bool remove(const region_key& region, serial insertion) {
    const auto i = lacking_.find(region);
    if (i == lacking_.end() || i->second.erase(insertion) == 0)
      return false;
    note(region);
    return true;
  }
  /// The region has what was being taken, or lacks it again.
  void settle(const region_key& region, serial insertion, bool done) {
    if (done)
      return one_less(insertion);
    lacking_[region].insert(insertion);
    note(region);
  }
  void one_less(serial insertion) {
    const auto i = left_.find(insertion);
    if (--i->second == 0)
      left_.erase(i);
  }
  /// Enters whether something can be read for the region.
  void note(const region_key& region) {
    const auto rank = ranks_.find(region);
    const std::pair at{rank == ranks_.end() ? ranks_.size() : rank->second, region};
    const auto i = lacking_.find(region);
    if (i != lacking_.end() && !i->second.empty() && !held_.contains(region))
      ready_.insert(at);
    else
      ready_.erase(at);
  }

  std::map<region_key, std::set<serial>> lacking_; ///< of regions that are being refilled, what was not sent
  std::unordered_map<serial, size_t> left_;        ///< in how many regions what is lacking, or being taken, is not yet
  std::unordered_set<region_key> held_;            ///< that wait for their snapshots
  std::unordered_map<region_key, size_t> ranks_;   ///< of those that are preferred
  std::set<std::pair<size_t, region_key>> ready_;  ///< by rank, those that lack something and are not held
  std::set<serial> failed_;                        ///< found no room, since the last that was taken
  std::set<serial> being_read_;
  std::multiset<serial> being_taken_, being_added_; ///< by rays; with a snapshot
  std::multiset<region_key> taking_;                ///< the regions that take them
};

} // namespace tessera
