#pragma once

#include "actors/regions/mesher.hpp"
#include "actors/supervision/life.hpp"

#include <optional>
#include <unordered_map>
#include <vector>

namespace tessera {

/// The meshers of all regions, and who waits for one. It decides who is started, when and as what; the supervisor does it. A
/// region has at most one mesher, which stays here when it dies, until its successor takes its place.
class region_meshers {
public:
  /// `before`: numbers of meshers of earlier processes were up to this one.
  explicit region_meshers(uint64_t before = 0) : started_{before} {}

  struct mesher {
    mesher_setup handle;
    device_id device;
    uint64_t number; ///< among all that were started
    life fared;
    bool ending = false;  ///< it was told to end, and needs no successor
    surface_mark shown{}; ///< of all meshers of the region

    /// Its versions, but for one that an earlier process told, are from here up to those of the next number: more than any mesher
    /// makes of one region (a thousand a second for 50 days), and enough numbers for hundreds of meshers a second for as long.
    [[nodiscard]] uint64_t first_version() const { return number << 32; }
  };
  using promise = caf::typed_response_promise<mesher_actor>;

  /// The region's mesher, dead or alive; null if it has none.
  [[nodiscard]] const mesher* find(region_key region) const;
  [[nodiscard]] const auto& all() const { return meshers_; }

  /// Somebody asks for a mesher of a region that has none, or one that is ending. Answers whether a device must be found for it
  /// now: else that is under way, or done when the one that is ending is gone.
  bool wait(region_key region, promise who);
  /// A mesher is needed whose device must be found first, though nobody asks for it.
  void need(region_key region) { needed_.try_emplace(region); }
  /// Whether the device that was found for a region is of use: a mesher is needed, and none is in its way.
  [[nodiscard]] bool is_needed(region_key region) const;
  /// The regions for which one is needed.
  [[nodiscard]] std::vector<region_key> needed() const;
  /// Those who wait for the region's mesher, who are to be answered now.
  std::vector<promise> take(region_key region);
  /// Those who wait are gone: what they asked for is needed no more.
  void forget_waiting();

  /// What the region's next mesher is, without its handle: the first, or the successor of the one that it has.
  mesher next(region_key region, device_id device, life::time_point now);
  /// It was started.
  void put(region_key region, mesher started) { meshers_.insert_or_assign(region, std::move(started)); }
  /// Tells that the region's mesher was told to end; its handle, or null if there is none.
  mesher_setup let_end(region_key region);

  /// The region's mesher is gone. Returns after which pause its successor is to be started; nothing if it was told to end and
  /// has: then it is forgotten.
  std::optional<std::chrono::milliseconds> lost(region_key region, const caf::error& reason, life::time_point now);

private:
  std::unordered_map<region_key, mesher> meshers_;
  std::unordered_map<region_key, std::vector<promise>> needed_; ///< with those who wait for it
  uint64_t started_;                                            ///< the number of the newest, of all regions
};

} // namespace tessera
