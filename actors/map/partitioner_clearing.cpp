// Many keyframes that go together.

#include "actors/map/partitioner_class.hpp"

namespace tessera::detail {

caf::typed_response_promise<verdict> partitioner::clear(keyframe_selection which) {
  const auto all = clearings_.add(std::move(which), changes_.next_number());
  const auto out = promise(all->number);
  if (recovering())
    return out; // what is live is not known yet
  for (const auto& c : collect(all))
    start(c);
  clearing_part_done(all);
  return out;
}

std::vector<change_ptr> partitioner::collect(const clearing_ptr& all) {
  std::unordered_set<keyframe_id> ids;
  for (auto& some : {live_.matching(all->which), changes_.coming(all->which, all->number), recovery_.left_out(all->which)})
    ids.insert(some.begin(), some.end());
  std::vector<change_ptr> due;
  for (const auto& id : ids) {
    const auto c = changes_.make(retraction{id});
    c->part_of = all;
    ++all->left;
    if (changes_.add(c, all->number)) // what came later comes later: it may bring a keyframe of this id anew
      due.push_back(c);
  }
  return due;
}

void partitioner::clear_on() {
  if (std::exchange(clearing_on_, true))
    return; // the loop below goes on; what ends at once must not nest
  while (const auto c = clearings_.next(config_.refill_credit)) {
    // Changes of its id that came before may have brought another keyframe than the one that was meant.
    const auto* live = live_.find(c->id());
    if (live != nullptr && !matches(c->part_of->which, c->id(), {live->source, live->group, live->timestamp_ns}))
      finish(c, {outcome::unknown, {}});
    else
      start_retract(c);
  }
  clearing_on_ = false;
}

void partitioner::clearing_part_done(const clearing_ptr& all) {
  if (auto v = clearings_.part_done(all))
    answer(all->number, std::move(*v));
}

} // namespace tessera::detail
