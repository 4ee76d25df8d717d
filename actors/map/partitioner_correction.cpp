// Many keyframes that move together, as after a loop closure.

#include "actors/map/partitioner_class.hpp"

namespace tessera::detail {

caf::typed_response_promise<verdict> partitioner::correct(correction& what) {
  const auto all = begin_batch();
  const auto out = promise(all->number);
  for (auto& one : what.entries) {
    if (!one.group.empty()) {
      if (one.number)
        live_.groups().enter(one.group, *one.number); // for what comes later, which has moved already
      all->groups.push_back(std::move(one));
      continue;
    }
    const auto c = changes_.make(revision{std::move(one.id), one.to, one.number});
    c->part_of = all;
    all->last = c->number;
    ++all->left;
    changes_.add(c);
  }
  if (!all->groups.empty()) {
    if (!recovering()) // else groups whose keyframes are still to be loaded would seem to have none
      live_.groups().keep_newest(config_.remembered);
    collect_all();
    return out;
  }
  all->collected = true;
  start_waiting();
  part_done(all);
  return out;
}

} // namespace tessera::detail
