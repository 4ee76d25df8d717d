#pragma once

#include "actors/viewers/camera_list.hpp"
#include "messages/map.hpp"
#include "messages/talk.hpp"

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

namespace tessera {

/// The newest patch of each region that has a surface, and the live cameras: all that a viewer can need. A region that became
/// empty is forgotten: a viewer that comes back with it is told that it is gone, like any other that is not here.
class patch_board {
public:
  /// So many cameras are told at most.
  static constexpr size_t max_cameras = 2000;

  /// Regions are spread over this many shards. A picture of the whole costs a pointer for each, and the first change of a shard
  /// afterwards a copy of it: a thousandth of the map.
  static constexpr size_t shards = 1024;
  using shard = std::map<region_key, patch>;
  /// What was here at a moment, by shard; null: nothing. Threads: any.
  using picture = std::vector<std::shared_ptr<const shard>>;
  [[nodiscard]] static size_t shard_of(const region_key& region) { return std::hash<region_key>{}(region) % shards; }

  /// Takes a newer patch, or the newest one encoded; false, changing nothing, if it is neither, or empties a region that is not
  /// here.
  bool put(const patch& came);

  /// Lets go of the frames of the region whose newest version was first encoded the longest ago, and answers which that is: it
  /// stays here as one that nobody wanted yet. Nothing: no region has frames.
  std::optional<region_key> let_frames_go();

  [[nodiscard]] picture now() const { return {shards_.begin(), shards_.end()}; }

  /// A region's newest patch; null: it has none.
  [[nodiscard]] const patch* find(const region_key& region) const;
  /// A region's newest patch, or an empty one.
  [[nodiscard]] patch get(const region_key& region) const;
  /// In the order of their keys.
  [[nodiscard]] std::vector<patch> all() const;

  /// Remembers changes of cameras. All that are live are kept, so that some are left when the newest go: a few hundred bytes for
  /// each live keyframe, whose rays take thousands.
  void put(const std::vector<camera>& changed);
  /// The newest `max_cameras`, newest last.
  [[nodiscard]] std::vector<camera> cameras() const { return cameras_.newest(max_cameras); }

  [[nodiscard]] uint64_t regions() const { return regions_; }
  [[nodiscard]] uint64_t vertices() const { return vertices_; }
  [[nodiscard]] uint64_t triangles() const { return triangles_; }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

private:
  /// What is here of a shard, to be changed: a copy if somebody has a picture of it.
  shard& own(std::shared_ptr<shard>& in);
  void forget_turn(const region_key& region);

  std::array<std::shared_ptr<shard>, shards> shards_; ///< null: empty
  std::map<uint64_t, region_key> encoded_;            ///< regions with frames, by when their version was first encoded
  std::unordered_map<region_key, uint64_t> turn_of_;  ///< where they stand there
  uint64_t turns_ = 0;
  camera_list cameras_;
  uint64_t regions_ = 0, vertices_ = 0, triangles_ = 0, bytes_ = 0;
};

} // namespace tessera
