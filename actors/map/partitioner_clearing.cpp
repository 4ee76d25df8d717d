// Many keyframes that go together; and what they have in common with those that move together.

#include "actors/map/partitioner_class.hpp"

namespace tessera::detail {

caf::typed_response_promise<verdict> partitioner::clear(keyframe_selection which) {
  const auto all = begin_batch();
  all->clears = std::move(which);
  const auto out = promise(all->number);
  collect_all();
  return out;
}

batch_ptr partitioner::begin_batch() {
  const auto all = batches_.add(changes_.next_number());
  changes_.open(all->number);
  return all;
}

void partitioner::collect_all() {
  for (const auto& all : batches_.uncollected()) {
    if (all->collected)
      continue; // by the loop below
    // Of a group, what comes before it must be in the store before the first of it moves: a successor could not tell what came
    // later.
    if (recovering() || (!all->groups.empty() && !changes_.done(all->number - 1)))
      return;
    collect(all);
    start_waiting();
    part_done(all);
  }
}

void partitioner::collect(const batch_ptr& all) {
  all->collected = true;
  if (all->clears)
    collect(all, *all->clears, [this](const keyframe_id& id) { return changes_.make(retraction{id}); });
  for (const auto& its : all->groups)
    collect(all, {{}, {}, its.group}, [&](const keyframe_id& id) {
      auto c = changes_.make(revision{id, its.to, its.number});
      c->of_group = its.group;
      return c;
    });
}

void partitioner::collect(const batch_ptr& all, const keyframe_selection& which,
                          const std::function<change_ptr(const keyframe_id&)>& make) {
  std::unordered_set<keyframe_id> ids;
  for (auto& some : {live_.matching(which), changes_.coming(which, all->number), recovery_.left_out(which), quarantined(which)})
    ids.insert(some.begin(), some.end());
  for (const auto& one : store_.retractions())
    if (matches(which, one))
      ids.insert(one.id);
  for (const auto& id : ids) {
    const auto c = make(id);
    c->part_of = all;
    c->number = all->last; // what came later comes later: it may bring a keyframe of this id anew
    ++all->left;
    changes_.add(c, c->number);
  }
}

void partitioner::start_waiting() {
  for (const auto& c : changes_.firsts())
    if (!c->started && !must_wait(c))
      start(c);
}

void partitioner::run_batches() {
  if (std::exchange(batches_run_, true))
    return; // the loop below goes on; what ends at once must not nest
  while (const auto c = batches_.next(config_.refill_credit))
    start_part(c);
  batches_run_ = false;
}

void partitioner::start_part(const change_ptr& c) {
  if (!c->part_of->clears)
    return start_revise(c);
  const auto* live = live_.find(c->id());
  if (live == nullptr && !recovery_.is_left_out(c->id()))
    return forget_retraction(c);
  // Changes of its id that came before may have brought another keyframe than the one that was meant.
  if (live != nullptr && !matches(*c->part_of->clears, c->id(), {live->source, live->group, live->timestamp_ns, live->admission}))
    finish(c, {outcome::unknown, {}});
  else
    start_retract(c);
}

void partitioner::end_part(const change_ptr& c, const verdict& v) {
  const auto all = c->part_of;
  batches_.count(*all, v);
  if (const auto next = changes_.second(c->id()); next && next->part_of == all) {
    changes_.finish(*c);
    start(next);
  } else {
    all->ended.push_back(c);
  }
  part_done(all);
  run_batches();
}

void partitioner::part_done(const batch_ptr& all) {
  auto v = batches_.part_done(all);
  if (!v)
    return;
  if (!all->clears)
    numbers().corrections.fetch_add(1, std::memory_order_relaxed);
  if (batches_.empty())
    end_hold();
  changes_.close(all->number);
  answer(all->number, std::move(*v));
  for (const auto& c : std::exchange(all->ended, {}))
    if (const auto next = changes_.finish(*c); next && !must_wait(next))
      start(next);
  if (!all->groups.empty())
    start_waiting();
  collect_all();
  try_gathers();
}

void partitioner::end_hold() {
  for (const auto& key : std::exchange(held_, {}))
    if (auto* its = regions_.find(key); its != nullptr)
      tell(key, *its);
}

void partitioner::check_hold() {
  hold_tick_ = false;
  if (held_.empty())
    return;
  if (now() >= held_since_ + config_.longest_hold)
    return end_hold();
  hold_tick_ = true;
  delayed_send(partitioner_self{this}, held_since_ + config_.longest_hold - now(), caf::flush_atom::value);
}

} // namespace tessera::detail
