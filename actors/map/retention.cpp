#include "actors/map/retention.hpp"

#include "messages/ray.hpp"

#include <algorithm>
#include <utility>

namespace tessera {

namespace {

using std::chrono::nanoseconds;

uint64_t whole(nanoseconds span) {
  return static_cast<uint64_t>(span.count());
}

} // namespace

std::string describe(const retention_limits& limits) {
  std::string out;
  const auto add = [&out](uint64_t value, const char* unit) {
    if (value > 0)
      out += (out.empty() ? "" : ", ") + std::to_string(value) + unit;
  };
  add(limits.keyframes, " keyframes");
  add(static_cast<uint64_t>(limits.age.count()), " s");
  add(limits.ray_bytes, " bytes of rays");
  return out;
}

retention::retention(const retention_limits& limits, const moment& start)
  : limits_{limits}, start_{start.now}, start_ns_{start.system_ns} {}

void retention::expect(const std::vector<keyframe_id>& ids) {
  if (!limits_.any())
    return;
  for (const auto& id : ids)
    put(id, 0, false).expected = true;
}

void retention::enter_kept(const keyframe_id& id, uint64_t rays, uint64_t received_ns) {
  if (!limits_.any())
    return;
  auto& its = put(id, rays, true);
  its.since = start_;
  its.received_ns = received_ns;
}

void retention::enter(const keyframe_id& id, uint64_t rays, std::chrono::steady_clock::time_point now) {
  if (limits_.any())
    put(id, rays, false).since = now;
}

retention::entry& retention::put(const keyframe_id& id, uint64_t rays, bool keeps_place) {
  const auto old = entries_.find(id);
  const auto place = keeps_place && old != entries_.end() ? old->second.place : ++places_;
  erase(id);
  order_[place] = id;
  rays_ += rays;
  return entries_[id] = {.place = place, .rays = rays};
}

void retention::erase(const keyframe_id& id) {
  leave(id);
  entries_.erase(id);
}

std::optional<keyframe_id> retention::due(const moment& at) {
  const auto passed = whole(at.now - start_);
  start_ns_ = std::min(start_ns_, at.system_ns - std::min(at.system_ns, passed));
  if (order_.empty())
    return {};
  const auto& oldest = order_.begin()->second;
  const auto& its = entries_.at(oldest);
  if ((limits_.keyframes > 0 && order_.size() > limits_.keyframes)
      || (limits_.ray_bytes > 0 && order_.size() > 1 && rays_ > limits_.ray_bytes / sizeof(ray))
      || (limits_.age.count() > 0 && may_tell_age(its, at) && age(its, at) > limits_.age))
    return oldest;
  return {};
}

nanoseconds retention::age(const entry& of, const moment& at) const {
  const nanoseconds here = at.now - of.since;
  if (!of.received_ns || start_ns_ <= *of.received_ns)
    return here;
  const auto before = std::min(start_ns_ - *of.received_ns, whole(nanoseconds::max() - here));
  return here + nanoseconds{before};
}

bool retention::may_tell_age(const entry& of, const moment& at) const {
  return !of.expected && (!of.received_ns || at.now - start_ >= first_look);
}

std::optional<std::chrono::steady_clock::time_point> retention::next(const moment& at) const {
  if (limits_.age.count() == 0 || order_.empty())
    return {};
  const auto& oldest = entries_.at(order_.begin()->second);
  if (oldest.expected)
    return {};
  // Beyond the limit, by the smallest step of the clock.
  auto when = at.now + std::max(nanoseconds{0}, limits_.age - age(oldest, at)) + nanoseconds{1};
  return oldest.received_ns ? std::max(when, start_ + first_look) : when;
}

void retention::leave(const keyframe_id& id) {
  const auto i = entries_.find(id);
  if (i == entries_.end() || std::exchange(i->second.leaving, true))
    return;
  order_.erase(i->second.place);
  rays_ -= i->second.rays;
}

void retention::stay(const keyframe_id& id) {
  const auto i = entries_.find(id);
  if (i == entries_.end() || !std::exchange(i->second.leaving, false))
    return;
  order_[i->second.place] = id;
  rays_ += i->second.rays;
}

bool retention::leaves(const keyframe_id& id) const {
  const auto i = entries_.find(id);
  return i != entries_.end() && i->second.leaving;
}

} // namespace tessera
