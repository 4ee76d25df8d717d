// What devices are asked to take: by all of them, or by none. docs/architecture.md, "Devices".

#include "actors/base/peer_loss.hpp"
#include "actors/map/device_error.hpp"
#include "actors/map/partitioner_class.hpp"

namespace tessera::detail {

bool is_device_loss(const caf::error& err) {
  return err == ec::device_failed || err == ec::fields_lost || is_peer_loss(err);
}

void partitioner::ask(const take_ptr& t) {
  if (t->continues) {
    ++unfinished_;
    return send_take(t);
  }
  takes_.add(t);
  send_takes();
}

void partitioner::send_takes() {
  send_images();
  while (!fresh_ && with_others_.empty()) {
    const auto t = takes_.next();
    if (!t)
      return;
    send_take(*t);
  }
}

void partitioner::send_take(const take_ptr& t) {
  takes_.begin();
  t->for_peers = nullptr;
  t->result = {};
  t->by.clear();
  t->lost.clear();
  t->failed = false;
  auto what = t->make();
  if (!what)
    return end_take(t);
  t->sent = std::move(*what);
  // On idle devices the latency is lowest if each of them makes all rays. When anything else is under way or waits, that repeated
  // work is time that the next keyframe waits for.
  if (t->sent.body && takes_.pressed() && devices_.devices.size() > 1)
    send_in_turn(t);
  else
    send_whole(t);
}

void partitioner::send_whole(const take_ptr& t) {
  std::vector<const placed_device*> to;
  for (const auto& d : devices_.devices)
    if (t->sent.only.empty() || std::any_of(t->sent.only.begin(), t->sent.only.end(), [&](const region_key& region) {
          return devices_.owner(region)->index == d.index;
        }))
      to.push_back(&d);
  if (to.empty())
    return end_take(t);
  t->waits_for = to.size();
  const auto* keeper = to[turn_++ % to.size()]; // all would bring down the same rays
  for (const auto* d : to) {
    auto its = t->sent;
    its.keep_rays = its.keep_rays && d == keeper;
    give(t, *d, std::move(its));
  }
}

void partitioner::send_in_turn(const take_ptr& t) {
  t->waits_for = 1;
  t->for_peers = std::make_shared<rays_for_peers>();
  auto its = t->sent;
  its.to_peers = [to = t->for_peers](rays_for_peers rays) { *to = std::move(rays); }; // before the answer, after which it is read
  give(t, devices_.devices[turn_++ % devices_.devices.size()], std::move(its));
}

void partitioner::send_to_peers(const take_ptr& t) {
  // Nobody else holds on to them: they must be gone when the fields are closed.
  auto rays = std::move(*std::exchange(t->for_peers, nullptr));
  for (const auto& d : devices_.devices) { // the same still: others are taken into use when nothing is being taken
    auto its = t->sent;
    its.body = nullptr;
    its.keep_rays = false;
    its.from_peer = std::move(rays.at(d.index));
    if (its.from_peer == nullptr || its.from_peer->size() == 0)
      continue; // it made them, or has nothing to take
    ++t->waits_for;
    give(t, d, std::move(its));
  }
}

void partitioner::give(const take_ptr& t, const placed_device& to, take_request what) {
  what.share = devices_.share_of(to);
  request(to.handle, caf::infinite, take_atom::value, std::move(what))
    .then([this, t, device = to.handle](take_report& report) { took(t, device, report); },
          [this, t, device = to.handle](caf::error& err) { not_taken(t, device, err); });
}

void partitioner::took(const take_ptr& t, const device_actor& device, take_report& report) {
  if (t->for_peers)
    send_to_peers(t);
  t->by.emplace_back(device, report.regions);
  auto& all = t->result.report;
  const auto first = t->by.size() == 1;
  if (first) {
    all = std::move(report);
  } else {
    all.regions.insert(all.regions.end(), report.regions.begin(), report.regions.end());
    if (all.kept.empty())
      all.kept = std::move(report.kept);
  }
  if (--t->waits_for == 0)
    taken_by_all(t);
}

void partitioner::not_taken(const take_ptr& t, const device_actor& device, caf::error& err) {
  if (std::exchange(t->for_peers, nullptr) && is_want_of_memory(err))
    return send_whole(t); // rays for others need room, too
  t->failed = t->failed || err == ec::device_failed;
  if (is_device_loss(err))
    t->lost.push_back(device);
  else if (!t->result.failure)
    t->result.failure = std::move(err);
  if (--t->waits_for == 0)
    taken_by_all(t);
}

void partitioner::taken_by_all(const take_ptr& t) {
  auto& report = t->result.report;
  std::sort(report.regions.begin(), report.regions.end());
  if ((!t->result.failure && t->lost.empty()) || t->by.empty())
    return end_take(t);
  if (!report.kept.empty()) { // else the device that kept the rays did not take it: they are made of the points again
    t->sent.body = nullptr;
    t->sent.rays.rays = std::make_shared<const std::vector<ray>>(std::move(report.kept));
  }
  t->waits_for = t->by.size();
  for (const auto& [device, regions] : std::exchange(t->by, {}))
    take_back(t, device, regions);
}

void partitioner::take_back(const take_ptr& t, const device_actor& device, const std::vector<region_key>& regions) {
  const auto one_less = [this, t] {
    if (--t->waits_for == 0)
      end_take(t);
  };
  if (regions.empty())
    return one_less();
  auto what = t->sent;
  what.sign = -what.sign;
  what.only = regions;
  what.keep_rays = false;
  request(device, caf::infinite, take_atom::value, std::move(what))
    .then([one_less](take_report&) { one_less(); },
          [this, t, device, regions, one_less](caf::error& err) {
            if (is_want_of_memory(err))
              return later(memory_pause, [this, t, device, regions] { take_back(t, device, regions); });
            if (is_device_loss(err)) {
              t->lost.push_back(device);
              return one_less();
            }
            quit(err); // a successor has all fields filled again
          });
}

void partitioner::end_take(const take_ptr& t) {
  const auto again = t->again && !t->lost.empty() && (t->losses += t->failed ? 1 : 0) < config_.most_losses;
  if (again) {
    with_others(t->lost.front(), [this, t] { takes_.add_first(t); });
  } else {
    if (!t->lost.empty())
      t->result.failure = caf::make_error(ec::device_failed, std::string{"devices failed over it"});
    t->sent = {};
    t->result.deadly = t->failed;
    t->done(t->result); // what it continues with is sent before this counts as done
    if (t->continues)
      --unfinished_;
  }
  takes_.end();
  go_on();
}

void partitioner::when_quiet(std::function<void()> act) {
  takes_.when_quiet(std::move(act));
  go_on();
}

void partitioner::go_on() {
  if (std::exchange(going_on_, true))
    return; // the loop below goes on
  while (takes_.quiet()) {
    if (fresh_) {
      use_fresh(); // which asks for something
      continue;
    }
    drop_emptied();
    const auto acts = takes_.acts();
    if (acts.empty())
      break;
    for (const auto& act : acts)
      act();
  }
  going_on_ = false;
  send_takes();
  try_gathers();
}

void partitioner::with_others(const device_actor& lost, std::function<void()> again) {
  if ((fresh_ ? *fresh_ : devices_).has(lost)) {
    with_others_.emplace_back(lost, std::move(again));
  } else {
    again(); // the others were told of already
    send_takes();
  }
}

void partitioner::later(std::chrono::milliseconds pause, std::function<void()> what) {
  later_.push_back(std::move(what));
  refill_later(pause);
}

} // namespace tessera::detail
