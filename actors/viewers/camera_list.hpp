#pragma once

#include "messages/map.hpp"

#include <cstddef>
#include <limits>
#include <list>
#include <unordered_map>
#include <vector>

namespace tessera {

/// Cameras in order of arrival, each id once, at most `capacity` of them: the oldest go first.
class camera_list {
public:
  explicit camera_list(size_t capacity = std::numeric_limits<size_t>::max()) : capacity_{capacity} {}

  /// Adds a camera at the end, or replaces the one of its id where that stands.
  void put(const camera& c);
  void erase(const keyframe_id& id);
  /// Returns all, oldest first, and forgets them.
  std::vector<camera> take();
  /// The last `most`, oldest first.
  [[nodiscard]] std::vector<camera> newest(size_t most) const;
  [[nodiscard]] bool empty() const { return order_.empty(); }

private:
  size_t capacity_;
  std::list<camera> order_;
  std::unordered_map<keyframe_id, std::list<camera>::iterator> index_;
};

} // namespace tessera
