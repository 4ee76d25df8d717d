#include "actors/map/recovery.hpp"

#include <algorithm>

namespace tessera {

void recovery::begin(std::vector<keyframe_id> ids) {
  to_come_ = {ids.begin(), ids.end()};
  waiting_ = {std::make_move_iterator(ids.begin()), std::make_move_iterator(ids.end())};
  active_ = !waiting_.empty();
}

std::optional<keyframe_id> recovery::next(size_t most) {
  if (waiting_.empty() || to_come_.size() - waiting_.size() >= most)
    return {};
  auto id = std::move(waiting_.front());
  waiting_.pop_front();
  return id;
}

void recovery::again(const keyframe_id& id) {
  waiting_.push_back(id);
}

void recovery::done(const keyframe_id& id) {
  to_come_.erase(id);
  in_vain_ = 0;
}

void recovery::hurry(const keyframe_id& id) {
  const auto at = std::find(waiting_.begin(), waiting_.end(), id);
  if (at != waiting_.end())
    std::rotate(waiting_.begin(), at, at + 1);
}

void recovery::leave_out(const keyframe_id& id, keyframe_labels its) {
  to_come_.erase(id);
  left_out_[id] = std::move(its);
}

std::vector<keyframe_id> recovery::left_out(const keyframe_selection& which) const {
  std::vector<keyframe_id> out;
  for (const auto& [id, its] : left_out_)
    if (matches(which, id, its))
      out.push_back(id);
  return out;
}

} // namespace tessera
