// Keyframes beyond what is kept: the oldest go, each by a change of its own, as if somebody had retracted it.

#include "actors/map/partitioner_class.hpp"

namespace tessera::detail {

void partitioner::forget_on() {
  if (std::exchange(forgetting_on_, true))
    return; // the loop below goes on; what ends at once must not nest
  const auto at = moment();
  auto id = kept_.due(at);
  for (; id && !forgetting_pauses_ && forgetting_ < config_.refill_credit && !must_be_recovered(*id); id = kept_.due(at)) {
    kept_.leave(*id);
    ++forgetting_;
    const auto c = changes_.make(retraction{*id});
    c->forgets = true;
    if (changes_.add(c) && !must_wait(c))
      start(c);
  }
  forgetting_on_ = false;
  if (id)
    return; // it has its turn when another is gone, or what it waits for is over
  if (const auto next = kept_.next(at); next && (!forget_at_ || *next < *forget_at_)) {
    forget_at_ = next;
    delayed_send(partitioner_self{this}, *next - at.now, caf::delete_atom::value);
  }
}

void partitioner::start_forgetting(const change_ptr& c) {
  if (kept_.leaves(c->id()))
    start_retract(c);
  else // changes of its id that came before took it out, and may have brought another
    finish(c, {outcome::unknown, {}});
}

void partitioner::forgot(const change_ptr& c, const verdict& v) {
  --forgetting_;
  if (v.what != outcome::not_now)
    return forget_on();
  kept_.stay(c->id());
  forgetting_pauses_ = true;
  later(memory_pause, [this] {
    forgetting_pauses_ = false;
    forget_on();
  });
}

void partitioner::forget_unread(const keyframe_id& id) {
  store_.erase(id, [this, id](store_answer& a) {
    if (a.failure) {
      store_failed(a.failure);
      return later(memory_pause, [this, id] { forget_unread(id); });
    }
    numbers().forgotten.fetch_add(1, std::memory_order_relaxed);
    kept_.erase(id);
    count_store();
    recovery_.done(id);
    recovered(id);
    refill_later(std::chrono::milliseconds{0});
  });
}

} // namespace tessera::detail
