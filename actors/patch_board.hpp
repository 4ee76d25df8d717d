#pragma once

#include "actors/camera_list.hpp"
#include "messages/map.hpp"
#include "messages/talk.hpp"

#include <map>

namespace tessera {

/// The newest patch of each region, and the newest cameras: all that a viewer can need. Regions that became empty are kept as
/// their empty patch (a header), for viewers that come back.
class patch_board {
public:
  static constexpr size_t max_cameras = 2000;

  /// Takes a newer patch; false, changing nothing, if it is not newer, or empties a region that nobody was shown.
  bool put(const patch& newest);

  /// What somebody lacks who has `wish.have` of this run (or of another one: nothing): regions that he has and that are unknown
  /// here are not in it.
  [[nodiscard]] std::vector<patch> missing(const subscribe& wish, const std::string& epoch) const;

  /// Regions that he has and that this run never published.
  [[nodiscard]] std::vector<held_patch> unknown(const subscribe& wish, const std::string& epoch) const;

  /// A region's newest patch, or an empty one.
  [[nodiscard]] patch get(const region_key& region) const;
  [[nodiscard]] std::vector<patch> all() const;

  /// Remembers changes of cameras, newest last, `max_cameras` at most.
  void put(const std::vector<camera>& changed);
  [[nodiscard]] std::vector<camera> cameras() const { return cameras_.all(); }

  [[nodiscard]] uint64_t regions() const { return regions_; }
  [[nodiscard]] uint64_t vertices() const { return vertices_; }
  [[nodiscard]] uint64_t triangles() const { return triangles_; }
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

private:
  std::map<region_key, patch> newest_;
  camera_list cameras_{max_cameras};
  uint64_t regions_ = 0, vertices_ = 0, triangles_ = 0, bytes_ = 0;
};

} // namespace tessera
