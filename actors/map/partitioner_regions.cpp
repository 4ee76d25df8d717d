// Regions: which keyframes are in them, and their meshers, which end when nothing is left.

#include "actors/map/partitioner_class.hpp"

namespace tessera::detail {

insertion& partitioner::insert(const keyframe_id& id, const pose& world_from_camera, std::vector<region_key> regions) {
  auto& out = live_.insert(id, world_from_camera, std::move(regions));
  for (const auto& region : out.regions) {
    regions_[region].insertions.push_back(out.serial);
    emptied_.erase(region);
  }
  return out;
}

void partitioner::remove(uint64_t serial) {
  for (const auto& region : live_.inserted(serial).regions) {
    auto& its = regions_[region].insertions;
    its.erase(std::lower_bound(its.begin(), its.end(), serial));
    if (its.empty()) {
      emptied_.insert(region);
      note_idle(region);
    }
  }
  live_.remove(serial);
}

void partitioner::touch(const std::vector<region_key>& regions, uint64_t keyframe_ns, uint64_t received_ns) {
  for (const auto& region : regions) {
    auto& entry = regions_[region];
    entry.dirty = true;
    if (received_ns != 0 && keyframe_ns >= entry.keyframe_ns) {
      entry.keyframe_ns = keyframe_ns;
      entry.received_ns = received_ns;
    }
    tell(region, entry);
  }
}

void partitioner::tell(const region_key& region, region_entry& entry) {
  if (entry.mesher) {
    entry.dirty = false;
    send(entry.mesher, dirty_atom::value, entry.keyframe_ns, std::exchange(entry.received_ns, 0));
    return;
  }
  if (recovering() || std::exchange(entry.asked, true))
    return; // a mesher that comes now would show half a region
  request(supervisor_, config_.request_timeout, place_atom::value, region)
    .then([this, region](const mesher_actor& mesher) { placed(region, mesher); },
          [this, region](caf::error& err) {
            record().set_error(describe(err));
            regions_[region].asked = false;
            later(memory_pause, [this, region] {
              if (auto i = regions_.find(region); i != regions_.end() && i->second.dirty)
                tell(region, i->second);
            });
          });
}

void partitioner::placed(const region_key& region, const mesher_actor& mesher) {
  const auto i = regions_.find(region);
  if (i == regions_.end())
    return end_mesher(region, mesher); // a successor came first, and the region was done with before this
  if (!i->second.mesher)               // else a successor came first
    i->second.mesher = mesher;
  if (i->second.dirty)
    tell(region, i->second);
  note_idle(region);
}

void partitioner::succeeded(const region_key& region, const mesher_actor& mesher) {
  auto& entry = regions_[region];
  entry.mesher = mesher;
  entry.down = false;
  entry.questions = 0;
  if (!lacks_something(region)) // else it is told when that has come
    send(mesher, refill_atom::value, false);
  if (entry.dirty)
    tell(region, entry);
  restart_gathers();
  note_idle(region);
  try_gathers(); // those that waited for it
}

bool partitioner::lacks_something(const region_key& region) const {
  if (recovering() || book_.active(region))
    return true;
  if (!fresh_)
    return false;
  const auto *now = devices_.owner(region), *next = fresh_->owner(region);
  return now == nullptr || next == nullptr || now->handle != next->handle;
}

bool partitioner::holds_nothing(const region_key& region, const region_entry& entry) const {
  // A mesher that is down has a successor by now, of which this is to be told; and one that was asked for comes.
  return entry.insertions.empty() && !entry.down && (entry.mesher || !entry.asked) && !lacks_something(region);
}

void partitioner::note_idle(const region_key& region) {
  const auto i = regions_.find(region);
  if (i == regions_.end() || !holds_nothing(region, i->second))
    return;
  i->second.idle = ++idles_;
  idle_.push_back({region, idles_, now()});
  if (!std::exchange(idle_tick_, true))
    delayed_send(partitioner_self{this}, config_.idle_after, caf::idle_atom::value);
}

void partitioner::end_idle() {
  idle_tick_ = false;
  const auto due = now() - config_.idle_after;
  std::vector<idle_region> over;
  for (; !idle_.empty() && idle_.front().since <= due; idle_.pop_front())
    over.push_back(idle_.front());
  if (!idle_.empty() && !std::exchange(idle_tick_, true))
    delayed_send(partitioner_self{this}, idle_.front().since - due, caf::idle_atom::value);
  if (over.empty())
    return;
  when_quiet([this, over] { // what is under way may bring keyframes into them
    for (const auto& [region, number, since] : over) {
      const auto i = regions_.find(region);
      if (i == regions_.end() || i->second.idle != number || !holds_nothing(region, i->second))
        continue; // it came back, or was noted again since
      if (i->second.questions > 0) {
        note_idle(region);
        continue;
      }
      if (i->second.mesher)
        end_mesher(region, i->second.mesher);
      regions_.erase(i);
    }
  });
}

void partitioner::end_mesher(const region_key& region, const mesher_actor& mesher) {
  // This actor alone sends meshers anything, and the supervisor hears of what it asks in order: so nothing can be on its way to a
  // mesher that ends.
  send(caf::actor_cast<mesher_keeper>(supervisor_), leave_atom::value, region, mesher);
}

void partitioner::drop_emptied() {
  for (const auto& region : std::exchange(emptied_, {}))
    if (const auto i = regions_.find(region); i == regions_.end() || i->second.insertions.empty())
      if (const auto* owner = devices_.owner(region); owner != nullptr)
        send(owner->handle, drop_atom::value, region);
}

} // namespace tessera::detail
