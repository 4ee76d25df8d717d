// Many keyframes that go together.

#include "actors/map/partitioner_class.hpp"

namespace tessera::detail {

namespace {

bool matches(const keyframe_selection& which, const keyframe_id& id, const std::string& source, const std::string& group) {
  return (!which.session || *which.session == id.session) && (!which.source || *which.source == source)
         && (!which.group || *which.group == group);
}

} // namespace

caf::typed_response_promise<verdict> partitioner::clear(keyframe_selection which) {
  auto all = std::make_shared<clearing>();
  all->which = std::move(which);
  all->number = ++changes_seen_;
  const auto promise = all->promise = make_response_promise<caf::typed_response_promise<verdict>>();
  clearings_.push_back(all);
  if (recovering())
    return promise; // what is live is not known yet
  for (const auto& c : queue(all))
    start(c);
  settle(all);
  return promise;
}

std::vector<partitioner::change_ptr> partitioner::queue(const clearing_ptr& all) {
  std::vector<keyframe_id> ids;
  for (const auto& [id, keyframe] : live_)
    if (matches(all->which, id, keyframe.source, keyframe.group))
      ids.push_back(id);
  for (const auto& [id, waiting] : changes_)
    if (!live_.contains(id) && std::any_of(waiting.begin(), waiting.end(), [&](const change_ptr& c) {
          return c->what == kind::integrate && c->number < all->number
                 && matches(all->which, id, c->frame.source, c->frame.group);
        }))
      ids.push_back(id);
  std::vector<change_ptr> due;
  for (auto& id : ids) {
    auto c = make_change(kind::retract, std::move(id));
    c->part_of = all;
    ++all->left;
    open_.insert(c->number);
    auto& waiting = changes_[c->id];
    if (waiting.empty())
      due.push_back(c);
    // What came later comes later: it may bring a keyframe of this id anew.
    waiting.insert(
      std::find_if(waiting.begin(), waiting.end(), [&](const change_ptr& other) { return other->number > all->number; }), c);
  }
  return due;
}

void partitioner::clear_on() {
  if (std::exchange(clearing_on_, true))
    return; // the loop below goes on; what ends at once must not nest
  while (clearing_now_ < config_.refill_credit && !to_clear_.empty()) {
    ++clearing_now_;
    const auto c = to_clear_.front();
    to_clear_.pop_front();
    start_retract(c);
  }
  clearing_on_ = false;
}

void partitioner::finish_part(const clearing_ptr& all, const verdict& v) {
  --clearing_now_;
  if (v.what == outcome::accepted) {
    ++all->gone;
  } else if (v.what == outcome::not_now) {
    ++all->stay;
    all->reason = v.reason;
  }
  settle(all);
  clear_on();
}

void partitioner::settle(const clearing_ptr& all) {
  if (--all->left > 0)
    return;
  std::erase(clearings_, clearing_ptr{all});
  verdict v{outcome::accepted, {}, all->gone};
  if (all->stay > 0)
    v = {outcome::not_now,
         std::to_string(all->gone) + " keyframes were taken out, and " + std::to_string(all->stay) + " not yet: " + all->reason,
         all->gone};
  std::exchange(all->promise, {}).deliver(std::move(v));
}

} // namespace tessera::detail
