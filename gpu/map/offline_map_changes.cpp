// What happens to keyframes that are in the map: they are moved, alone or many at once, and taken out.

#include "gpu/map/offline_map.hpp"
#include "gpu/map/take_failure.hpp"
#include "messages/moved_pose.hpp"

#include <algorithm>
#include <future>
#include <memory>
#include <utility>

namespace tessera {

void offline_map::take_in(const retraction& of, const completion& done) {
  const std::lock_guard moving(moving_);
  const auto was = find(of.id, [&](const verdict& v) {
    if (v.what == outcome::unknown)
      keep_out(of.id);
    done(v);
  });
  if (was)
    done(taken_out(of.id, *was));
}

void offline_map::take_in(const revision& to, const completion& done) {
  const std::lock_guard moving(moving_);
  const auto was = find(to.id, done);
  if (was)
    done(moved(to.id, *was, to.world_from_camera, to.number));
}

void offline_map::correct(correction what, completion done) {
  for (const auto& one : what.entries)
    if (const auto fault = options_.check_pose ? options_.check_pose(one.to) : std::string{}; !fault.empty())
      return done({outcome::refused, fault}); // none of it is done
  const std::lock_guard moving(moving_);
  verdict all;
  const auto count = [&](const verdict& v) {
    all.keyframes += v.what == outcome::accepted;
    all.left.duplicate += v.what == outcome::duplicate;
    all.left.unknown += v.what == outcome::unknown;
    all.left.refused += v.what == outcome::refused;
    all.left.not_now += v.what == outcome::not_now;
    if (!v.reason.empty())
      all.reason = v.reason;
    if (v.what == outcome::not_now)
      all.what = outcome::not_now;
  };
  for (const auto& one : what.entries)
    if (one.group.empty())
      if (const auto was = find(one.id, count))
        count(moved(one.id, *was, one.to, one.number));
  for (const auto& one : what.entries) {
    if (one.group.empty())
      continue;
    for (const auto& id : begin_move_of(one.group, one.number))
      if (const auto was = find(id, [](const verdict&) {})) // what was under way and is not taken is none of it
        count(moved(id, *was, moved_pose(one.to, was->world_from_camera), one.number));
  }
  done(all);
}

std::optional<offline_map::live_keyframe> offline_map::find(const keyframe_id& id, const completion& done) {
  if (!options_.keep_rays) {
    done({outcome::refused, "this map keeps no rays, so that nothing can be taken out of it"});
    return std::nullopt;
  }
  std::unique_lock lock(mutex_);
  if (auto live = wait_for(id, lock))
    return live;
  lock.unlock();
  done({outcome::unknown, {}});
  return std::nullopt;
}

void offline_map::keep_out(const keyframe_id& id) {
  const std::lock_guard lock(mutex_);
  if (!live_.contains(id) && !went_.contains(id))
    retracted_.insert(id);
}

verdict offline_map::taken_out(const keyframe_id& id, const live_keyframe& was) {
  const auto report = take_and_wait(was.batch, was.world_from_camera, -1);
  if (report.failure)
    return not_moved(report);
  const std::lock_guard lock(mutex_);
  live_.erase(id);
  went_.insert(id);
  --counts_.keyframes;
  return {};
}

std::vector<keyframe_id> offline_map::begin_move_of(const std::string& group, const std::optional<uint64_t>& number) {
  const std::lock_guard lock(mutex_);
  if (number) {
    auto& largest = group_revisions_[group];
    largest = std::max(largest, *number);
  }
  std::vector<keyframe_id> out;
  for (const auto& [id, one] : live_)
    if (one.group == group)
      out.push_back(id);
  return out;
}

verdict offline_map::moved(const keyframe_id& id, const live_keyframe& was, const pose& to,
                           const std::optional<uint64_t>& number) {
  if (number && number <= was.revision)
    return {outcome::duplicate, {}};
  if (const auto fault = options_.check_pose ? options_.check_pose(to) : std::string{}; !fault.empty())
    return {outcome::refused, fault};
  const auto there = take_and_wait(was.batch, to, 1);
  if (there.failure)
    return not_moved(there);
  if (there.whole.regions.empty())
    return {outcome::refused, "the new pose moves the whole keyframe beyond the map's 2^19 voxels"};
  if (const auto report = take_and_wait(was.batch, was.world_from_camera, -1); report.failure) {
    const auto back = take_and_wait(was.batch, to, -1);
    return not_moved(back.failure ? back : report);
  }
  const std::lock_guard lock(mutex_);
  auto& live = live_[id];
  live.world_from_camera = to;
  live.revision = number;
  return {};
}

verdict offline_map::not_moved(const shared_report& report) {
  const auto kind = kind_of(report.failure);
  if (report.in_part || kind == failure_kind::device) {
    const std::lock_guard lock(mutex_);
    return ended_by(report.failure, report.in_part);
  }
  if (kind == failure_kind::bad)
    return {outcome::refused, "under the new pose " + text_of(report.failure)};
  return {outcome::not_now, text_of(report.failure)};
}

shared_report offline_map::take_and_wait(const ray_batch& rays, const pose& at, int32_t sign) {
  take_request what;
  what.rays = rays;
  what.world_from_camera = at;
  what.sign = sign;
  what.mesh = options_.extract_each;
  const auto answer = std::make_shared<std::promise<shared_report>>(); // a device may still be in it when the waiting is over
  auto future = answer->get_future();
  devices_.take(std::move(what), false, [answer](shared_report report) { answer->set_value(std::move(report)); });
  auto report = future.get();
  const std::lock_guard lock(mutex_);
  note_regions(report.whole);
  return report;
}

} // namespace tessera
