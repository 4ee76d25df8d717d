// Keyframes that come, go and move: what is live, and what each change sends to the regions.

#include "actors/no_points.hpp"
#include "actors/partitioner_class.hpp"
#include "actors/peer_loss.hpp"
#include "actors/same_rays.hpp"
#include "gpu/bounds.hpp"

namespace tessera::detail {

partitioner::change_ptr partitioner::make_change(kind what, keyframe_id id) {
  auto c = std::make_shared<change>();
  c->what = what;
  c->id = std::move(id);
  c->number = ++changes_seen_;
  return c;
}

caf::typed_response_promise<verdict> partitioner::add(const change_ptr& c) {
  c->promise = make_response_promise<caf::typed_response_promise<verdict>>();
  open_.insert(c->number);
  auto& waiting = changes_[c->id];
  waiting.push_back(c);
  if (waiting.size() == 1 && !recovering())
    start(c);
  return c->promise;
}

void partitioner::start(const change_ptr& c) {
  if (c->part_of) {
    to_clear_.push_back(c);
    return clear_on();
  }
  switch (c->what) {
  case kind::integrate:
    return start_integrate(c);
  case kind::retract:
    return start_retract(c);
  case kind::revise:
    return start_revise(c);
  }
}

void partitioner::refuse(const change_ptr& c, refusal why, const std::string& reason) {
  numbers().count_refused(why);
  numbers().set_aside.add("map", shown(c->id), reason);
  finish(c, {outcome::refused, reason});
}

void partitioner::not_now(const change_ptr& c, hindered by) {
  finish(c, numbers().count_not_now(std::move(by)));
}

void partitioner::finish(const change_ptr& c, verdict v) {
  auto& n = numbers();
  auto count = [](telemetry::counter& x) { x.fetch_add(1, std::memory_order_relaxed); };
  if (v.what == outcome::accepted) {
    count(c->what == kind::integrate ? n.accepted : c->what == kind::retract ? n.retracted : n.revised);
    if (c->what == kind::integrate)
      n.shortage.clear();
  } else if (v.what == outcome::duplicate) {
    count(n.duplicate);
  } else if (v.what == outcome::conflict) {
    count(n.conflicts);
  } else if (v.what == outcome::unknown && !c->part_of) {
    count(n.unknown);
  }
  c->next = nullptr;
  open_.erase(c->number);
  auto i = changes_.find(c->id);
  i->second.pop_front();
  const auto next = i->second.empty() ? nullptr : i->second.front();
  if (!next)
    changes_.erase(i);
  if (c->part_of)
    finish_part(c->part_of, v);
  else
    c->promise.deliver(std::move(v));
  if (next)
    start(next);
  try_gathers();
}

void partitioner::start_integrate(const change_ptr& c) {
  auto idlest = std::min_element(makers_.begin(), makers_.end(), [](const auto& a, const auto& b) { return a.busy < b.busy; });
  const auto index = static_cast<size_t>(idlest - makers_.begin());
  const auto asked = idlest->handle;
  ++idlest->busy;
  c->points = c->frame.body->size();
  request(idlest->handle, config_.request_timeout, integrate_atom::value, c->frame)
    .then(
      [this, c, index](made_rays& made) {
        --makers_[index].busy;
        c->frame.body.reset();
        integrate(c, made);
      },
      [this, c, index, asked](caf::error& err) {
        --makers_[index].busy;
        const auto died = is_peer_loss(err);
        if (died)
          replace_maker(asked.address()); // its end may be told later
        if (died && ++c->makers_lost < 3)
          return start_integrate(c); // with another
        c->frame.body.reset();
        if (died)
          return refuse(c, refusal::internal, "three who made its rays died over it: " + describe(err));
        if (err == ec::out_of_memory)
          return not_now(c, {hindrance::memory, "the process has no memory for the keyframe's rays"});
        auto by = hindered_by(err);
        by.text.insert(0, "the keyframe's rays could not be made: ");
        not_now(c, std::move(by));
      });
}

void partitioner::integrate(const change_ptr& c, made_rays& made) {
  if (!made.torn.empty())
    return not_now(c, {hindrance::torn, "the points changed while they were read: " + made.torn});
  if (!made.too_large.empty())
    return refuse(c, refusal::points, made.too_large);
  if (made.parts.parts.empty())
    return refuse(c, refusal::empty, nothing_left(made));
  if (const auto i = live_.find(c->id); i != live_.end())
    return compare(c, i->second, made);
  try {
    store_->put({c->id,
                 c->frame.timestamp_ns,
                 c->frame.received_ns,
                 c->frame.world_from_camera,
                 {made.rays},
                 c->frame.world_from_camera,
                 c->frame.source,
                 c->frame.group});
  } catch (...) {
    auto by = store_failed(std::current_exception());
    by.text.insert(0, "the keyframe could not be stored: ");
    return not_now(c, std::move(by));
  }
  auto& entry = live_[c->id];
  entry.timestamp_ns = c->frame.timestamp_ns;
  entry.received_ns = c->frame.received_ns;
  entry.rays = made.rays->size();
  entry.came_with = c->frame.world_from_camera;
  entry.source = c->frame.source;
  entry.group = c->frame.group;
  c->parts = std::move(made.parts);
  entry.placements.push_back(make_placement(c->id, c->frame.world_from_camera, c->parts));
  const auto rays = entry.rays;
  c->next = [this, c, rays] {
    if (!c->not_taken.empty())
      return undo_integrate(c);
    numbers().points.fetch_add(c->points, std::memory_order_relaxed);
    numbers().rays.fetch_add(rays, std::memory_order_relaxed);
    tell_camera(c->id, c->frame.timestamp_ns, c->frame.world_from_camera, false);
    count_store();
    finish(c, {});
  };
  send_parts(c, c->parts, +1, entry.placements.back(), c->frame.timestamp_ns, c->frame.received_ns);
  settle(c);
}

void partitioner::compare(const change_ptr& c, const live_keyframe& live, const made_rays& made) {
  const auto& at = c->frame.world_from_camera;
  const char* other = nullptr;
  if (at != live.came_with && at != live.placements.front().world_from_camera)
    other = "another pose";
  else if (made.rays->size() != live.rays)
    other = "other points";
  else
    try {
      if (!same_rays(*made.rays, *store_->get(c->id).value().rays.rays))
        other = "other points";
    } catch (...) {
      auto by = store_failed(std::current_exception());
      by.text.insert(0, "the live keyframe's rays could not be read: ");
      return not_now(c, std::move(by));
    }
  if (other == nullptr)
    return finish(c, {outcome::duplicate, {}});
  auto reason = "keyframe_id " + shown(c->id) + " is live already, with " + other
                + ": give this keyframe another id or another session, or take the live one out first";
  numbers().set_aside.add("map", shown(c->id), reason);
  finish(c, {outcome::conflict, std::move(reason)});
}

std::string partitioner::nothing_left(const made_rays& made) const {
  return no_points_text(config_.map, made.counts, made.beyond);
}

void partitioner::undo_integrate(const change_ptr& c) {
  c->next = [this, c, by = no_room(c)] { not_now(c, by); };
  take_out(c, live_.at(c->id).placements.front(), c->parts);
  live_.erase(c->id);
  forget(c->id);
  settle(c);
}

hindered partitioner::no_room(const change_ptr& c) {
  auto by = c->not_taken.front();
  by.text.insert(0,
                 (by.why == hindrance::room ? "the map is full: there is no room for the keyframe in " : "it cannot be taken in ")
                   + std::to_string(c->not_taken.size()) + " of its regions: ");
  return by;
}

void partitioner::start_retract(const change_ptr& c) {
  auto i = live_.find(c->id);
  if (i == live_.end())
    return finish(c, {outcome::unknown, {}});
  hindered by;
  const auto parts = split(c->id, i->second.placements.front().world_from_camera, by);
  if (!parts)
    return not_now(c, std::move(by));
  c->next = [this, c] { finish(c, {}); };
  take_out(c, i->second.placements.front(), *parts);
  live_.erase(i);
  forget(c->id);
  tell_camera(c->id, 0, {}, true);
  settle(c);
}

void partitioner::forget(const keyframe_id& id) {
  try {
    store_->erase(id);
  } catch (...) {
    store_failed(std::current_exception()); // it is not live; at worst its room is not used again
  }
  count_store();
}

void partitioner::start_revise(const change_ptr& c) {
  auto i = live_.find(c->id);
  if (i == live_.end())
    return finish(c, {outcome::unknown, {}});
  if (i->second.placements.front().world_from_camera == c->target)
    return finish(c, {});
  hindered by;
  std::optional<partition> parts;
  try {
    parts = split(c->id, c->target, by);
  } catch (const keyframe_too_large& e) {
    return refuse(c, refusal::pose, std::string{"under the new pose "} + e.what());
  }
  if (!parts)
    return not_now(c, std::move(by));
  if (parts->parts.empty())
    return refuse(c, refusal::pose, "the new pose moves the whole keyframe beyond the map's 2^19 voxels");
  c->parts = std::move(*parts);
  i->second.placements.push_back(make_placement(c->id, c->target, c->parts));
  c->next = [this, c] {
    if (c->not_taken.empty())
      end_revise(c);
    else
      undo_revise(c, no_room(c));
  };
  send_parts(c, c->parts, +1, i->second.placements.back(), i->second.timestamp_ns, i->second.received_ns);
  settle(c);
}

void partitioner::end_revise(const change_ptr& c) {
  auto& entry = live_.at(c->id);
  hindered by;
  const auto parts = split(c->id, entry.placements.front().world_from_camera, by);
  if (!parts)
    return undo_revise(c, by);
  c->next = [this, c] { finish(c, {}); };
  take_out(c, entry.placements.front(), *parts);
  entry.placements.erase(entry.placements.begin());
  store_->set_pose(c->id, c->target);
  tell_camera(c->id, entry.timestamp_ns, c->target, false);
  settle(c);
}

void partitioner::undo_revise(const change_ptr& c, const hindered& by) {
  auto& entry = live_.at(c->id);
  c->next = [this, c, by] { not_now(c, by); };
  take_out(c, entry.placements.back(), c->parts);
  entry.placements.pop_back();
  settle(c);
}

partitioner::placement partitioner::make_placement(const keyframe_id& id, const pose& world_from_camera, const partition& parts) {
  placement out{++serials_, world_from_camera, {}};
  out.regions.reserve(parts.parts.size());
  for (const auto& part : parts.parts) {
    out.regions.push_back(part.region);
    ++regions_[part.region].placements;
  }
  std::sort(out.regions.begin(), out.regions.end());
  id_of_[out.serial] = id;
  return out;
}

std::optional<partition> partitioner::split(const keyframe_id& id, const pose& world_from_camera, hindered& by) {
  try {
    auto stored = store_->get(id);
    if (!stored)
      throw std::logic_error("keyframe " + shown(id) + " is live but not in the store");
    uint64_t beyond = 0;
    return config_.rays.split(config_.map, *stored->rays.rays, world_from_camera, beyond);
  } catch (const keyframe_too_large&) {
    throw; // of a new pose: under its own, a stored keyframe is not
  } catch (...) {
    by = store_failed(std::current_exception());
    by.text.insert(0, "the keyframe's rays could not be read: ");
    return {};
  }
}

void partitioner::send_parts(const change_ptr& c, const partition& parts, int32_t sign, const placement& place,
                             uint64_t keyframe_ns, uint64_t received_ns) {
  c->not_taken.clear();
  c->waits_for = 1; // the caller
  for (const auto& part : parts.parts) {
    if (!place.in(part.region))
      continue; // it had no room for it
    if (sign < 0 && book_.cancel(part.region, place.serial))
      continue; // its mesher is new and was not sent this yet
    ++c->waits_for;
    send_job(part.region, {parts.batch, part.first, part.count, place.world_from_camera, sign, keyframe_ns, received_ns}, {c, 0});
  }
}

void partitioner::take_out(const change_ptr& c, const placement& place, const partition& parts) {
  id_of_.erase(place.serial);
  for (const auto& region : place.regions)
    --regions_[region].placements;
  send_parts(c, parts, -1, place, 0, 0);
  end_refills();
}

void partitioner::settle(const change_ptr& c) {
  if (c->waits_for > 0 && --c->waits_for == 0 && c->next) {
    auto next = std::exchange(c->next, nullptr);
    next();
  }
}

} // namespace tessera::detail
