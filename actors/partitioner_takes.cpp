// What devices are asked to take: by all of them, or by none.

#include "actors/device_error.hpp"
#include "actors/partitioner_class.hpp"
#include "actors/peer_loss.hpp"

namespace tessera::detail {

bool is_device_loss(const caf::error& err) {
  return err == ec::device_failed || is_peer_loss(err);
}

void partitioner::ask(const take_ptr& t) {
  if (t->continues) {
    ++unfinished_;
    return send_take(t);
  }
  takes_.push_back(t);
  send_takes();
}

void partitioner::send_takes() {
  while (!takes_.empty() && quiet_.empty() && !fresh_ && with_others_.empty()) {
    const auto t = takes_.front();
    takes_.pop_front();
    send_take(t);
  }
}

void partitioner::send_take(const take_ptr& t) {
  ++taking_;
  t->result = {};
  t->by.clear();
  t->lost.clear();
  t->failed = false;
  auto what = t->make();
  std::vector<placed_device> by;
  if (what)
    for (const auto& d : devices_.devices)
      if (what->only.empty() || std::any_of(what->only.begin(), what->only.end(), [&](const region_key& region) {
            return devices_.owner(region)->index == d.index;
          }))
        by.push_back(d);
  t->waits_for = by.size();
  if (by.empty())
    return end_take(t);
  t->sent = *what;
  t->sent.body = nullptr;
  what->keep_rays = what->keep_rays || by.size() > 1; // to take it back from those that took it
  for (const auto& d : by) {
    auto its = *what;
    its.share = devices_.share_of(d);
    request(d.handle, caf::infinite, take_atom::value, std::move(its))
      .then([this, t, device = d.handle](take_report& report) { took(t, device, report); },
            [this, t, device = d.handle](caf::error& err) { not_taken(t, device, err); });
  }
}

void partitioner::took(const take_ptr& t, const device_actor& device, take_report& report) {
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
  if (t->sent.rays.rays->empty())
    t->sent.rays.rays = std::make_shared<const std::vector<ray>>(std::move(report.kept));
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
  request(device, caf::infinite, take_atom::value, std::move(what))
    .then([one_less](take_report&) { one_less(); },
          [this, t, device, regions, one_less](caf::error& err) {
            if (err == ec::out_of_memory)
              return later(memory_pause, [this, t, device, regions] { take_back(t, device, regions); });
            if (is_device_loss(err)) {
              t->lost.push_back(device);
              return one_less();
            }
            quit(err); // a successor has all fields filled again
          });
}

void partitioner::end_take(const take_ptr& t) {
  const auto again = t->again && !t->lost.empty() && (t->losses += t->failed ? 1 : 0) < most_losses;
  if (again) {
    with_others(t->lost.front(), [this, t] { takes_.push_front(t); });
  } else {
    if (!t->lost.empty())
      t->result.failure = caf::make_error(ec::device_failed, std::string{"devices failed over it"});
    t->done(t->result); // what it continues with is sent before this counts as done
    if (t->continues)
      --unfinished_;
  }
  --taking_;
  go_on();
}

void partitioner::when_quiet(std::function<void()> act) {
  quiet_.push_back(std::move(act));
  go_on();
}

void partitioner::go_on() {
  if (std::exchange(going_on_, true))
    return; // the loop below goes on
  while (taking_ == 0) {
    if (fresh_) {
      use_fresh(); // which asks for something
      continue;
    }
    drop_emptied();
    if (quiet_.empty())
      break;
    for (const auto& act : std::exchange(quiet_, {}))
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
