#include "actors/map/recovery.hpp"

#include <algorithm>
#include <limits>

namespace tessera {

void recovery::begin(std::vector<keyframe_id> ids, const std::vector<std::pair<keyframe_id, position>>& cameras) {
  const std::unordered_map<keyframe_id, position> at{cameras.begin(), cameras.end()};
  to_come_ = {ids.begin(), ids.end()};
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto its = at.find(ids[i]);
    waiting_.push_back({std::move(ids[i]), i, its == at.end() ? position{} : its->second});
  }
  active_ = !waiting_.empty();
}

void recovery::prefer(const std::vector<position>& near_to) {
  const auto distance = [&](const waiting& one) {
    auto least = std::numeric_limits<double>::infinity();
    for (const auto& other : near_to) {
      double squared = 0;
      for (size_t axis = 0; axis < 3; ++axis) {
        const auto by = static_cast<double>(one.camera[axis]) - static_cast<double>(other[axis]);
        squared += by * by;
      }
      least = std::min(least, squared);
    }
    return least;
  };
  std::vector<std::pair<double, size_t>> order; // each distance once
  for (size_t i = 0; i < waiting_.size(); ++i)
    order.emplace_back(distance(waiting_[i]), i);
  std::sort(order.begin(), order.end(), [this](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : waiting_[a.second].place < waiting_[b.second].place;
  });
  std::deque<waiting> sorted;
  for (const auto& [its, i] : order)
    sorted.push_back(std::move(waiting_[i]));
  waiting_ = std::move(sorted);
}

std::optional<keyframe_id> recovery::next(size_t most) {
  const auto here = hurried_.size() + waiting_.size() + again_.size();
  if (here == 0 || to_come_.size() - here >= most)
    return {};
  keyframe_id id;
  if (!hurried_.empty() || waiting_.empty()) {
    auto& from = hurried_.empty() ? again_ : hurried_;
    id = std::move(from.front());
    from.pop_front();
  } else {
    id = std::move(waiting_.front().id);
    waiting_.pop_front();
  }
  return id;
}

void recovery::again(const keyframe_id& id) {
  again_.push_back(id);
}

void recovery::done(const keyframe_id& id) {
  to_come_.erase(id);
  in_vain_ = 0;
}

void recovery::hurry(const keyframe_id& id) {
  if (const auto at = std::find(again_.begin(), again_.end(), id); at != again_.end())
    again_.erase(at);
  else if (const auto of = std::find_if(waiting_.begin(), waiting_.end(), [&](const waiting& one) { return one.id == id; });
           of != waiting_.end())
    waiting_.erase(of);
  else if (const auto first = std::find(hurried_.begin(), hurried_.end(), id); first != hurried_.end())
    hurried_.erase(first);
  else
    return; // it is under way, or not to come
  hurried_.push_front(id);
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
