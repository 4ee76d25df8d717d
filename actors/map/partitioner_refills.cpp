// Fields that are filled again from the store: those of devices that come or were started again, and all of them for a
// partitioner's successor.

#include "actors/map/partitioner_class.hpp"

#include <algorithm>

namespace tessera::detail {

bool is_damage(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const damaged_keyframe&) {
    return true;
  } catch (...) {
    return false; // what else it was is told by store_failed()
  }
}

void partitioner::use_fresh() {
  // Until the end of this nothing is sent, since there are fresh ones. Refills that were not sent yet are entered anew.
  for (const auto& t : takes_.take_out([](const take_ptr& one) { return !one->again; })) {
    t->result.failure = caf::make_error(ec::device_failed);
    t->done(t->result);
  }
  const auto before = std::exchange(devices_, *fresh_);
  for (const auto& d : devices_.devices)
    if (!before.has(d.handle))
      send(d.handle, clear_atom::value);
  for (const auto& [region, its] : regions_) {
    const auto *was = before.owner(region), *is = devices_.owner(region);
    if (was != nullptr && is != nullptr && was->handle == is->handle)
      continue;
    book_.start(region, {its.insertions.begin(), its.insertions.end()}); // with nothing to get, too: its mesher is told
  }
  for (auto& [lost, again] : std::exchange(with_others_, {}))
    if (devices_.has(lost))
      with_others_.emplace_back(lost, std::move(again)); // the loss of that device has not been told yet
    else
      again();
  fresh_.reset();
  end_refills(); // of those that have nothing to get
  refill_step();
  send_takes();
}

void partitioner::refill_later(std::chrono::milliseconds pause) {
  if (std::exchange(tick_, true))
    return;
  if (pause.count() > 0)
    delayed_send(partitioner_self{this}, pause, caf::tick_atom::value);
  else
    send(partitioner_self{this}, caf::tick_atom::value);
}

void partitioner::refill_step() {
  if (filling_kept())
    prefer_what_is_looked_at();
  while (!recovering() && !tick_ && book_.under_way() < config_.refill_credit) {
    const auto serial = book_.read_next([this](uint64_t its) { return live_.stays(its); });
    if (!serial)
      return;
    store_.get(*live_.id_of(*serial), [this, serial = *serial](store_answer& stored) { refill(serial, stored); });
  }
}

void partitioner::refill(uint64_t serial, store_answer& stored) {
  book_.read(serial);
  if (!live_.stays(serial))
    return refill_later(std::chrono::milliseconds{0}); // it was, or is being, taken out meanwhile
  const auto id = *live_.id_of(serial);
  if (!stored.failure && !stored.frame)
    stored.failure = std::make_exception_ptr(std::logic_error("keyframe " + shown(id) + " is live but not in the store"));
  if (stored.failure) { // a region without it must be neither shown nor summed up
    store_failed(stored.failure);
    if (is_damage(stored.failure))
      return made_without(id);
    return refill_later(memory_pause);
  }
  const auto part = book_.take(serial, live_.inserted(serial).regions);
  if (part.regions.empty())
    return refill_later(std::chrono::milliseconds{0});
  const auto t = std::make_shared<take>();
  t->again = false;
  t->make = [this, rays = stored.frame->rays, part] {
    take_request what;
    what.rays = rays;
    what.world_from_camera = live_.inserted(part.insertion).world_from_camera;
    what.only = part.regions;
    return std::optional{what};
  };
  t->done = [this, id, part](taken& all) { refilled(id, part, all); };
  ask(t);
}

void partitioner::refilled(const keyframe_id& id, const refill_book::part& part, taken& t) {
  book_.taken(part, !t.failure);
  const auto lost = t.failure && is_device_loss(t.failure);
  if (t.deadly && live_.stays(part.insertion))
    device_died(part.insertion);
  else if (!t.failure)
    suspects_.clear(part.insertion);
  if (!t.failure)
    book_.hope();
  if (t.failure && !lost) {
    record().set_error("keyframe " + shown(id) + " cannot be filled in again yet: " + describe(t.failure));
    // Only a map that was there in this process had room for it.
    const auto stays = [this](uint64_t its) { return live_.stays(its); };
    if (filling_kept()
        && (t.failure == ec::bad_keyframe || (is_want_of_memory(t.failure) && book_.in_vain(part.insertion, stays))))
      leave_out(part.insertion, t.failure);
    refill_later(memory_pause);
  }
  refill_done(part.insertion);
  for (const auto& region : part.regions) {
    if (!t.failure && filling_kept() && !book_.complete(region))
      touch({region}, 0, 0);
    end_refill(region);
  }
  if (!tick_ && !lost) // else there will be other devices, and until then this would fail again and again
    refill_later(std::chrono::milliseconds{0}); // with other messages in between
}

void partitioner::refill_done(uint64_t serial) {
  if (book_.being_taken(serial))
    return;
  if (const auto waiting = after_refill_.extract(serial))
    for (const auto& go : waiting.mapped())
      go();
}

void partitioner::end_refill(const region_key& region) {
  if (recovering() || !book_.complete(region))
    return;
  book_.finish(region);
  auto* its = regions_.find(region);
  if (its != nullptr && !its->insertions.empty()) {
    its->dirty = true;  // also for a mesher that it has not had yet
    tell(region, *its); // now it is known what its surface shows
  }
  if (its != nullptr && its->mesher && !lacks_something(region)) // else one that starts whole, or is told later
    send(its->mesher, refill_atom::value, false);
  note_idle(region);
  try_gathers();
}

void partitioner::end_refills() {
  for (const auto& region : book_.regions())
    end_refill(region);
}

void partitioner::recover() {
  for (const auto& d : devices_.devices)
    send(d.handle, clear_atom::value);
  auto ids = store_.ids();
  kept_.expect(ids);
  leave_out_quarantined(ids);
  if (config_.begins == map_beginning::kept) {
    enter_kept(ids);
    find_snapshots();
  }
  // Without a viewer: where the scan went last is where one looks first, and what comes meanwhile goes on there. With bounds on
  // what is kept the oldest come first, whoever looks where, since they may have to go.
  if (config_.begins == map_beginning::kept && !config_.retain.any())
    std::reverse(ids.begin(), ids.end());
  recovery_.begin(std::move(ids), store_.cameras());
  seen_views_.reset();
  made_again_ = !recovering() && book_.empty();
  cameras_due_ = recovering(); // also a successor's broadcaster may have come when there was no partitioner to tell it of them
  if (config_.begins == map_beginning::kept) {
    if (live_.size() > 0)
      tell_all_cameras(); // of those that are known already
    later(std::chrono::milliseconds{0}, [this] { forget_on(); });
  }
  prefer_what_is_looked_at();
  fetch_snapshots();
  if (made_again_)
    tell_that_all_is_there();
  else
    refill_later(std::chrono::milliseconds{0});
}

void partitioner::prefer_what_is_looked_at() {
  const auto changes = numbers().views.changes();
  if (seen_views_ == changes || now() < look_again_)
    return;
  seen_views_ = changes;
  look_again_ = now() + std::chrono::seconds{1}; // to sort many takes a while
  auto near_to = numbers().views.current();
  if (!config_.retain.any()) // else the oldest come first
    recovery_.prefer(near_to);
  if (near_to.empty() && newest_kept_)
    near_to.push_back(*newest_kept_); // there a viewer begins
  prefer_regions(near_to);
}

void partitioner::recover_step() {
  prefer_what_is_looked_at();
  while (!tick_) {
    const auto id = recovery_.next(config_.refill_credit);
    if (!id)
      break;
    store_.get(*id, [this, id = *id](store_answer& answer) { recover(id, answer); });
  }
  count_store();
  if (!recovery_.over())
    return;
  recovery_.end();
  end_recovery();
}

void partitioner::recover(const keyframe_id& id, store_answer& answer) {
  const auto again = [this, id] {
    recovery_.again(id);
    refill_later(memory_pause);
  };
  if (answer.failure) {
    store_failed(answer.failure);
    if (!is_damage(answer.failure))
      return again();
    shared().write(severity::error, "keyframe " + shown(id) + " is lost: its record is damaged");
    tell_camera(id, 0, {}, true); // the dead partitioner may have told of it
    store_.erase(id, [this](store_answer& a) {
      if (a.failure)
        store_failed(a.failure);
      count_store();
    });
  }
  if (!answer.frame) { // or what the dead partitioner had asked came before: it was erased, or could not be stored
    kept_.erase(id);
    recovery_.done(id);
    recovered(id);
    return refill_later(std::chrono::milliseconds{0});
  }
  kept_.enter_kept(id, answer.frame->rays.rays->size(), answer.frame->received_ns);
  if (config_.begins == map_beginning::kept && kept_.due(moment()) == id)
    return forget_unread(id);
  const auto t = std::make_shared<take>();
  t->make = [rays = answer.frame->rays, at = answer.frame->world_from_camera] {
    take_request what;
    what.rays = rays;
    what.world_from_camera = at;
    return std::optional{what};
  };
  t->done = [this, id, again, stored = std::move(*answer.frame)](taken& all) {
    if (all.failure) {
      record().set_error("keyframe " + shown(id) + " cannot be taken again yet: " + describe(all.failure));
      // A map that was there in this process has room again when what was lost of it has been given back.
      if (is_device_loss(all.failure))
        return quarantine_unread(stored);
      const auto never = all.failure == ec::bad_keyframe
                         || (config_.begins == map_beginning::kept && is_want_of_memory(all.failure) && recovery_.in_vain());
      if (!never)
        return again();
      leave_out(id, {stored.source, stored.group, stored.timestamp_ns, stored.admission}, describe(all.failure));
      recovered(id);
      return refill_later(std::chrono::milliseconds{0});
    }
    recovery_.done(id);
    live_.enter(id, {stored.timestamp_ns, stored.received_ns, stored.rays.rays->size(), stored.came_with, stored.source,
                     stored.group, stored.revision, stored.admission, true});
    const auto& in = insert(id, stored.world_from_camera, std::move(all.report.regions), stored.reach.stamp);
    const auto regions = in.regions;
    if (!stored.reach.known()) // an older program kept it
      store_.set_place(id, {stored.world_from_camera, stored.revision, reach_of(in)}, [this](store_answer& a) {
        if (a.failure)
          store_failed(a.failure);
      });
    touch(regions, stored.timestamp_ns, 0);
    recovered(id);
    refill_later(std::chrono::milliseconds{0});
  };
  ask(t);
}

void partitioner::leave_out(const keyframe_id& id, keyframe_labels its, const std::string& why) {
  const auto text = "keyframe " + shown(id) + " stays in the store and is not in the map: " + why;
  tell_camera(id, 0, {}, true); // the dead partitioner may have told of it
  shared().write(severity::error, text);
  numbers().set_aside.add("map", shown(id), text);
  recovery_.leave_out(id, std::move(its));
}

void partitioner::leave_out(uint64_t serial, const caf::error& why) {
  if (!live_.stays(serial))
    return;
  live_.inserted(serial).leaving = true; // no refill takes it any more
  book_.hope();
  suspicion its{serial};
  its.no_place = describe(why);
  suspect(*live_.id_of(serial), std::move(its));
}

void partitioner::made_without(const keyframe_id& id) {
  quit(caf::make_error(ec::store_failed, "keyframe " + shown(id) + " is damaged in the store: the map is made again without it"));
}

bool partitioner::must_wait(const change_ptr& c) const {
  return batches_.holds_up(*c) || must_be_recovered(c->id());
}

bool partitioner::must_be_recovered(const keyframe_id& id) const {
  // Nothing is left half done of an earlier process, so that only its own keyframes must come first.
  return recovering() && (config_.begins != map_beginning::kept || recovery_.to_come(id));
}

void partitioner::recovered(const keyframe_id& id) {
  if (const auto c = changes_.first(id); c && !c->started && !must_wait(c))
    start(c);
  forget_on();
}

void partitioner::end_recovery() {
  if (std::exchange(cameras_due_, false))
    tell_all_cameras();
  std::vector<region_key> keys;
  for (const auto& [key, its] : regions_)
    keys.push_back(key);
  for (const auto& key : keys) {
    auto& its = regions_[key];
    if (its.mesher && !lacks_something(key))
      send(its.mesher, refill_atom::value, false);
    if (its.dirty)
      tell(key, its);
    note_idle(key);
  }
  end_refills();
  refill_step();
  collect_all();
  start_waiting();
  try_gathers();
  forget_on();
}

void partitioner::tell_that_all_is_there() {
  const auto left = std::make_shared<size_t>(1);
  for (const auto& [region, its] : regions_) {
    ++*left;
    wait_for_surface(region, left);
  }
  surface_told(left);
}

void partitioner::wait_for_surface(const region_key& region, const std::shared_ptr<size_t>& left) {
  if (regions_.find(region) == nullptr)
    return surface_told(left);                                 // it is gone
  const auto again = [this, region, left](const caf::error&) { // it died, and has a successor
    later(memory_pause, [this, region, left] { wait_for_surface(region, left); });
  };
  request(supervisor_, caf::infinite, place_atom::value, region) // it may not be placed yet
    .then(
      [this, left, again](const mesher_actor& mesher) {
        request(mesher, caf::infinite, caf::flush_atom::value).then([this, left](uint64_t) { surface_told(left); }, again);
      },
      again);
}

void partitioner::surface_told(const std::shared_ptr<size_t>& left) {
  if (--*left == 0)
    send(caf::actor_cast<surface_listener>(broadcaster_), refill_atom::value, false);
}

caf::error partitioner::being_made_again() const {
  std::string text = config_.begins == map_beginning::kept ? "the map is being made again from the journal: "
                                                           : "the map is being made again after the partitioner ended: ";
  auto left = recovery_.left();
  if (config_.begins == map_beginning::kept)
    left += book_.insertions();
  if (left > 0)
    text += std::to_string(left) + " of " + std::to_string(recovery_.left() + live_.size()) + " keyframes are to be taken again";
  else
    text += std::to_string(book_.size()) + " regions do not have all keyframes yet";
  return caf::make_error(ec::restarting, std::move(text));
}

} // namespace tessera::detail
