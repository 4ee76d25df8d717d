#include "actors/viewers/camera_list.hpp"

#include <algorithm>
#include <iterator>

namespace tessera {

void camera_list::put(const camera& c) {
  if (auto known = index_.find(c.id); known != index_.end()) {
    *known->second = c;
    return;
  }
  order_.push_back(c);
  index_[c.id] = std::prev(order_.end());
  if (order_.size() > capacity_) {
    index_.erase(order_.front().id);
    order_.pop_front();
  }
}

void camera_list::erase(const keyframe_id& id) {
  auto known = index_.find(id);
  if (known == index_.end())
    return;
  order_.erase(known->second);
  index_.erase(known);
}

std::vector<camera> camera_list::take() {
  std::vector<camera> out{order_.begin(), order_.end()};
  order_.clear();
  index_.clear();
  return out;
}

std::vector<camera> camera_list::newest(size_t most) const {
  const auto count = std::min(most, order_.size());
  return {std::prev(order_.end(), static_cast<std::ptrdiff_t>(count)), order_.end()};
}

} // namespace tessera
