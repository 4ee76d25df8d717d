// Regions that hold nothing any more: their meshers end.

#include "actors/partitioner_class.hpp"

namespace tessera::detail {

bool partitioner::holds_nothing(const region_key& region, const region_entry& entry) const {
  // A mesher that is down has a successor by now, whose refill is to come.
  return entry.placements == 0 && entry.jobs.empty() && !entry.down && !book_.active(region);
}

void partitioner::note_idle(const region_key& region) {
  const auto i = regions_.find(region);
  if (recovering() || i == regions_.end() || !holds_nothing(region, i->second))
    return;
  i->second.idle = ++idles_;
  idle_.push_back({region, idles_, now()});
  if (!std::exchange(idle_tick_, true))
    delayed_send(partitioner_self{this}, config_.idle_after, caf::idle_atom::value);
}

void partitioner::end_idle() {
  idle_tick_ = false;
  const auto due = now() - config_.idle_after;
  std::vector<region_key> asked;
  for (; !idle_.empty() && idle_.front().since <= due; idle_.pop_front()) {
    const auto& [region, number, since] = idle_.front();
    const auto i = regions_.find(region);
    if (i == regions_.end() || i->second.idle != number || !holds_nothing(region, i->second))
      continue; // it came back, or was noted again since
    if (i->second.questions > 0) {
      asked.push_back(region);
      continue;
    }
    if (i->second.mesher)
      end_mesher(region, i->second.mesher);
    regions_.erase(i);
  }
  for (const auto& region : asked)
    note_idle(region);
  if (!idle_.empty() && !std::exchange(idle_tick_, true))
    delayed_send(partitioner_self{this}, idle_.front().since - due, caf::idle_atom::value);
}

void partitioner::end_mesher(const region_key& region, const mesher_actor& mesher) {
  send(caf::actor_cast<mesher_keeper>(supervisor_), leave_atom::value, region, mesher);
}

} // namespace tessera::detail
