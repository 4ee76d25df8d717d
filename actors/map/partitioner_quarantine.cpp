// Keyframes over which meshers or devices die again and again: found out, taken out, and kept out. docs/quarantine.md.

#include "actors/map/partitioner_class.hpp"

namespace tessera::detail {

namespace {

std::string named(const region_key& region) {
  return std::to_string(region.x) + "," + std::to_string(region.y) + "," + std::to_string(region.z);
}

keyframe_labels labels_of(const quarantined_keyframe& one) {
  return {one.source, one.group, one.timestamp_ns};
}

quarantined_keyframe entry_of(const keyframe_id& id, const live_keyframe& live, std::string reason, uint32_t deaths) {
  return {id, live.source, live.group, live.timestamp_ns, std::move(reason), system_ns(), deaths};
}

std::string mesher_reason(const mesher_death& death, uint32_t deaths) {
  return "the mesher of region " + named(death.region) + " died " + std::to_string(deaths) + " times over it: " + death.reason;
}

} // namespace

// -- who it is ----------------------------------------------------------------------

void partitioner::mesher_died(const mesher_death& death) {
  const auto* its = regions_.find(death.region);
  if (its == nullptr)
    return;
  const auto found
    = suspects_.died(death.region, death.shown, its->insertions, death.of_device ? config_.most_losses : most_mesher_deaths);
  if (trials_.contains(death.region))
    return died_on_trial(death, found);
  if (found.deadly.empty())
    return;
  if (found.in_hand.size() == 1) {
    const auto serial = found.in_hand.front();
    const auto deaths = suspects_.deaths(death.region, serial);
    return condemn(serial, mesher_reason(death, deaths), deaths);
  }
  shared().write(severity::warning, "the mesher of region " + named(death.region) + " died again and again with "
                                      + std::to_string(found.in_hand.size()) + " new keyframes in hand: each is tried alone");
  for (const auto serial : found.deadly)
    try_alone(death.region, serial);
}

void partitioner::device_died(uint64_t serial) {
  const auto deaths = suspects_.device_died(serial);
  if (deaths >= config_.most_losses)
    condemn(serial, device_reason(deaths), deaths);
}

std::string partitioner::device_reason(uint32_t deaths) {
  return std::to_string(deaths) + " devices in a row failed over it";
}

// -- one is known --------------------------------------------------------------------

void partitioner::condemn(uint64_t serial, std::string reason, uint32_t deaths) {
  if (!live_.stays(serial))
    return;
  const auto id = *live_.id_of(serial);
  auto sentence = entry_of(id, live_.at(id), std::move(reason), deaths);
  // Another region's trial may have it in hand: that waits for a surface, which waits for a refill, which waits until it is out.
  for (auto& [region, all] : trials_)
    if (all.in_hand && all.serial == serial)
      return end_trial_of(all, std::move(sentence));
  live_.inserted(serial).leaving = true; // no refill takes it any more
  suspect(id, {serial, deaths, {}, std::move(sentence)});
}

void partitioner::suspect(const keyframe_id& id, suspicion what) {
  const auto c = changes_.make(retraction{id});
  c->suspected = std::move(what);
  if (changes_.add(c) && !must_wait(c))
    start(c);
}

void partitioner::start_suspected(const change_ptr& c) {
  const auto serial = c->suspected->serial;
  if (live_.id_of(serial) == nullptr) { // it moved or went meanwhile
    if (const auto region = c->suspected->tried_in)
      --trials_.at(*region).leaving;
    return end_suspected(c);
  }
  store_.get(c->id(), [this, c, serial](store_answer& a) {
    if (a.failure)
      store_failed(a.failure);
    if (a.failure && is_damage(a.failure))
      return made_without(c->id());
    if (!a.frame)
      return later(memory_pause, [this, c] { start_suspected(c); });
    const auto& where = live_.inserted(serial);
    const trial::suspect one{c, a.frame->rays, where.world_from_camera, where.stamp};
    take_out(c, serial, one.rays, [this, one] { taken_out(one); });
  });
}

void partitioner::taken_out(const trial::suspect& one) {
  const auto region = one.change->suspected->tried_in;
  if (one.change->suspected->sentence)
    set_apart(one.change);
  else if (one.change->suspected->no_place)
    left_out(one.change);
  else
    trials_.at(*region).out.push_back(one);
  if (region) {
    --trials_.at(*region).leaving;
    go_on_trying(*region);
  }
}

void partitioner::set_apart(const change_ptr& c) {
  live_.erase(c->id());
  tell_camera(c->id(), 0, {}, true);
  const auto& what = *c->suspected->sentence;
  recovery_.leave_out(c->id(), labels_of(what)); // its rays stay in the store: what died may not be its fault
  enter_quarantine(what, [this, c] { finish(c, {}); });
}

void partitioner::left_out(const change_ptr& c) {
  const auto& live = live_.at(c->id());
  keyframe_labels its{live.source, live.group, live.timestamp_ns, live.admission};
  live_.erase(c->id());
  leave_out(c->id(), std::move(its), *c->suspected->no_place);
  finish(c, {});
}

void partitioner::enter_quarantine(const quarantined_keyframe& what, std::function<void()> next) {
  numbers().quarantine.enter(what);
  numbers().set_aside.add("map", shown(what.id), "it is in quarantine: " + what.reason);
  store_.quarantine(what, [this, next = std::move(next)](store_answer& a) {
    if (a.failure)
      store_failed(a.failure); // the store has ended
    next();
  });
}

void partitioner::leave_out_quarantined(std::vector<keyframe_id>& ids) {
  std::erase_if(ids, [this](const keyframe_id& id) {
    const auto its = numbers().quarantine.find(id);
    if (!its)
      return false;
    recovery_.leave_out(id, labels_of(*its));
    store_.get(id, [this, id](store_answer& a) { // limits of what is kept hold for it, too
      if (a.failure)
        store_failed(a.failure);
      else if (a.frame && recovery_.is_left_out(id))
        kept_.enter_kept(id, a.frame->rays.rays->size(), a.frame->received_ns), forget_on();
    });
    return true;
  });
}

void partitioner::quarantine_unread(const stored_keyframe& stored) {
  const auto& id = stored.id;
  recovery_.leave_out(id, {stored.source, stored.group, stored.timestamp_ns});
  tell_camera(id, 0, {}, true); // the dead partitioner may have told of it
  enter_quarantine(
    {id, stored.source, stored.group, stored.timestamp_ns, device_reason(config_.most_losses), system_ns(), config_.most_losses},
    [this, id] {
      recovered(id);
      refill_later(std::chrono::milliseconds{0});
    });
}

std::vector<keyframe_id> partitioner::quarantined(const keyframe_selection& which) const {
  std::vector<keyframe_id> out;
  for (const auto& one : shared().numbers->quarantine.list())
    if (matches(which, one.id, labels_of(one)))
      out.push_back(one.id);
  return out;
}

void partitioner::release(const change_ptr& c) {
  store_.release(c->id(), [this, c](store_answer& a) {
    if (a.failure) { // else it would be there again after the next start
      store_failed(a.failure);
      return later(memory_pause, [this, c] { release(c); });
    }
    numbers().quarantine.erase(c->id());
    if (recovery_.is_left_out(c->id()))
      retract_from_store(c);
    else // it came, and never was in the map
      finish(c, {});
  });
}

void partitioner::end_suspected(const change_ptr& c) {
  const auto region = c->suspected->tried_in;
  tried_.erase(c->id());
  if (const auto next = changes_.finish(*c); next && !must_wait(next))
    start(next);
  collect_all();
  if (region)
    go_on_trying(*region);
  try_gathers();
}

// -- one of several ------------------------------------------------------------------

void partitioner::try_alone(const region_key& region, uint64_t serial) {
  if (!live_.stays(serial) || !tried_.insert(*live_.id_of(serial)).second)
    return; // it goes, or is out already, perhaps since another region's mesher died
  auto& all = trials_[region];
  ++all.leaving;
  ++all.question;
  all.made_without = false;
  suspect(*live_.id_of(serial), {serial, suspects_.deaths(region, serial), region, {}});
}

void partitioner::died_on_trial(const mesher_death& death, const suspects::finding& found) {
  auto& all = trials_.at(death.region);
  if (all.leaving > 0)
    return; // it may have meshed the region with them in it
  if (!all.in_hand || all.serial == 0) {
    for (const auto serial : found.deadly)
      try_alone(death.region, serial);
    if (found.in_hand.empty() && ++all.deaths_without >= trial::most_deaths_without) {
      all.given_up = true;
      go_on_trying(death.region);
    }
    return;
  }
  const auto& one = *all.in_hand->change;
  std::optional<quarantined_keyframe> sentence;
  if (found.in_hand.size() == 1) {
    const auto deaths = one.suspected->deaths + 1;
    sentence = entry_of(one.id(), live_.at(one.id()), mesher_reason(death, deaths), deaths);
  }
  for (const auto other : found.in_hand)
    if (other != all.serial)
      try_alone(death.region, other);
  end_trial_of(all, std::move(sentence));
}

/// Takes the one in hand out again.
void partitioner::end_trial_of(trial& all, std::optional<quarantined_keyframe> sentence) {
  const auto one = *std::exchange(all.in_hand, std::nullopt);
  const auto serial = std::exchange(all.serial, 0);
  ++all.leaving;
  ++all.question;
  all.made_without = false;
  one.change->suspected->sentence = std::move(sentence);
  take_out(one.change, serial, one.rays, [this, one] { taken_out(one); });
}

void partitioner::go_on_trying(const region_key& region) {
  const auto i = trials_.find(region);
  if (i == trials_.end() || i->second.leaving > 0)
    return;
  auto& all = i->second;
  if (all.in_hand)
    return all.serial != 0 ? ask_for_surface(region) : void();
  if (all.out.empty()) {
    trials_.erase(i);
    return try_gathers();
  }
  if (!all.made_without && !all.given_up)
    return ask_for_surface(region);
  all.in_hand = std::move(all.out.front());
  all.out.pop_front();
  all.serial = 0;
  put_back(region);
}

void partitioner::put_back(const region_key& region) {
  const auto t = std::make_shared<take>();
  t->make = [one = *trials_.at(region).in_hand] {
    take_request what;
    what.rays = one.rays;
    what.world_from_camera = one.world_from_camera;
    return std::optional{what};
  };
  t->done = [this, region](taken& all) { put_back(region, all); };
  ask(t);
}

void partitioner::put_back(const region_key& region, taken& t) {
  auto& all = trials_.at(region);
  const auto c = all.in_hand->change;
  if (t.failure && !is_device_loss(t.failure)) // there was room for it, and will be again
    return later(memory_pause, [this, region] { put_back(region); });
  if (t.failure) {
    all.in_hand.reset();
    c->suspected->sentence = entry_of(c->id(), live_.at(c->id()), device_reason(config_.most_losses), config_.most_losses);
    return set_apart(c);
  }
  const auto& one = *all.in_hand;
  const auto& in = insert(c->id(), one.world_from_camera, std::move(t.report.regions), one.stamp);
  all.serial = in.serial;
  touch(in.regions, live_.at(c->id()).timestamp_ns, 0);
  if (all.given_up)
    return surface_made(region, ++all.question);
  ask_for_surface(region);
}

void partitioner::ask_for_surface(const region_key& region) {
  const auto number = ++trials_.at(region).question;
  auto* its = regions_.find(region);
  if (its == nullptr || (!its->mesher && its->insertions.empty()))
    return surface_made(region, number); // there is nothing to be made
  if (!its->mesher)
    return; // when it is there
  ++its->questions;
  request(its->mesher, caf::infinite, caf::flush_atom::value)
    .then(
      [this, region, number, mesher = its->mesher](uint64_t) {
        regions_.question_done(region, mesher);
        surface_made(region, number);
      },
      [this, region, mesher = its->mesher](const caf::error&) {
        regions_.question_done(region, mesher); // it died: of that, and of its successor, the supervisor tells
      });
}

void partitioner::surface_made(const region_key& region, uint64_t question) {
  const auto i = trials_.find(region);
  if (i == trials_.end() || i->second.question != question)
    return;
  auto& all = i->second;
  if (!all.in_hand) {
    all.made_without = true;
    return go_on_trying(region);
  }
  suspects_.showed(region, all.serial);
  const auto c = std::exchange(all.in_hand, std::nullopt)->change;
  all.serial = 0;
  end_suspected(c);
}

void partitioner::ask_for_surface_again(const region_key& region) {
  const auto i = trials_.find(region);
  if (i != trials_.end() && i->second.leaving == 0 && (i->second.in_hand ? i->second.serial != 0 : !i->second.made_without))
    ask_for_surface(region);
}

} // namespace tessera::detail
