// Regions: which keyframes are in them, and their meshers, which end when nothing is left.

#include "actors/map/partitioner_class.hpp"

namespace tessera::detail {

insertion& partitioner::insert(const keyframe_id& id, const pose& world_from_camera, std::vector<region_key> regions,
                               uint64_t stamp) {
  while (stamp == 0)
    stamp = stamps_();
  auto& out = live_.insert(id, world_from_camera, std::move(regions), stamp);
  regions_.insert(out.regions, out.serial);
  for (const auto& region : out.regions)
    note_changed(region);
  return out;
}

void partitioner::remove(uint64_t serial) {
  for (const auto& region : live_.inserted(serial).regions)
    note_changed(region);
  for (const auto& region : regions_.remove(live_.inserted(serial).regions, serial))
    note_idle(region);
  live_.remove(serial);
  suspects_.clear(serial);
}

void partitioner::touch(const std::vector<region_key>& regions, uint64_t keyframe_ns, uint64_t received_ns, bool part_of_batch) {
  if (part_of_batch && held_.empty())
    held_since_ = now();
  for (const auto& key : regions) {
    auto& its = regions_.touch(key, keyframe_ns, received_ns);
    if (part_of_batch)
      held_.insert(key);
    if (!held_.contains(key))
      tell(key, its);
  }
  if (!hold_tick_)
    check_hold();
}

uint64_t partitioner::newest_in(const region_entry& its) {
  return its.insertions.empty() ? 0 : its.insertions.back();
}

void partitioner::tell(const region_key& key, region_entry& its) {
  if (its.mesher) {
    its.dirty = false;
    // Of a region that lacks some it is not known what is in a surface of it.
    const auto newest = book_.active(key) ? 0 : newest_in(its);
    send(its.mesher, dirty_atom::value, its.keyframe_ns, std::exchange(its.received_ns, 0), newest);
    return;
  }
  const auto hidden = recovering() && config_.begins != map_beginning::kept; // a mesher that comes now would show half a region
  if (hidden || std::exchange(its.asked, true))
    return;
  request(supervisor_, config_.request_timeout, place_atom::value, key)
    .then([this, key](const mesher_actor& mesher) { placed(key, mesher); },
          [this, key](caf::error& err) {
            record().set_error(describe(err));
            auto* still = regions_.find(key); // not if a successor came, and the region ended meanwhile
            if (still == nullptr)
              return;
            still->asked = false;
            note_idle(key);
            later(memory_pause, [this, key] {
              if (auto* again = regions_.find(key); again != nullptr && again->dirty)
                tell(key, *again);
            });
          });
}

void partitioner::placed(const region_key& key, const mesher_actor& mesher) {
  auto* its = regions_.find(key);
  if (its == nullptr)
    return end_mesher(key, mesher); // a successor came first, and the region was done with before this
  if (!its->mesher)                 // else a successor came first
    its->mesher = mesher;
  if (its->dirty && !held_.contains(key))
    tell(key, *its);
  if (!lacks_something(key)) // one that waits until its field is whole
    send(its->mesher, refill_atom::value, false);
  note_idle(key);
  ask_for_surface_again(key);
}

void partitioner::succeeded(const region_key& key, const mesher_actor& mesher) {
  auto& its = regions_[key];
  its.mesher = mesher;
  its.down = false;
  its.questions = 0;
  tell(key, its);
  if (!lacks_something(key)) // else it is told when that has come
    send(mesher, refill_atom::value, false);
  restart_gathers();
  note_idle(key);
  ask_for_surface_again(key);
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

void partitioner::note_idle(const region_key& key) {
  const auto* its = regions_.find(key);
  if (its == nullptr || !its->idles() || lacks_something(key))
    return;
  regions_.note_idle(key, now());
  if (!std::exchange(idle_tick_, true))
    delayed_send(partitioner_self{this}, config_.idle_after, caf::idle_atom::value);
}

void partitioner::end_idle() {
  const auto due = now() - config_.idle_after;
  const auto over = regions_.idle_until(due);
  const auto* next = regions_.next_idle();
  idle_tick_ = next != nullptr;
  if (next != nullptr)
    delayed_send(partitioner_self{this}, next->since - due, caf::idle_atom::value);
  if (over.empty())
    return;
  when_quiet([this, over] { // what is under way may bring keyframes into them
    for (const auto& noted : over) {
      const auto* its = regions_.still_idle(noted);
      if (its == nullptr || lacks_something(noted.key))
        continue;
      if (its->questions > 0 || held_.contains(noted.key)) {
        note_idle(noted.key);
        continue;
      }
      if (its->mesher)
        end_mesher(noted.key, its->mesher);
      regions_.erase(noted.key);
      suspects_.forget(noted.key);
    }
  });
}

void partitioner::end_mesher(const region_key& region, const mesher_actor& mesher) {
  // This actor alone sends meshers anything, and the supervisor hears of what it asks in order: so nothing can be on its way to a
  // mesher that ends.
  send(caf::actor_cast<mesher_keeper>(supervisor_), leave_atom::value, region, mesher);
}

void partitioner::drop_emptied() {
  for (const auto& region : regions_.take_emptied())
    if (const auto* owner = devices_.owner(region); owner != nullptr)
      send(owner->handle, drop_atom::value, region);
}

} // namespace tessera::detail
