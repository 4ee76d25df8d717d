#include "gpu/map/offline_map.hpp"

#include "gpu/bounds.hpp"
#include "gpu/host/spin.hpp"
#include "gpu/map/shared_fields.hpp"
#include "gpu/map/take_failure.hpp"
#include "gpu/ray_digest.hpp"
#include "gpu/region_slices.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <unordered_map>
#include <utility>

namespace tessera {

namespace {

using clock = std::chrono::steady_clock;

double seconds_since(clock::time_point start) {
  return std::chrono::duration<double>(clock::now() - start).count();
}

} // namespace

offline_map::offline_map(const map_settings& map, std::vector<std::shared_ptr<async_fields>> devices, offline_options options)
  : map_(map), devices_(std::move(devices)), options_(std::move(options)),
    most_under_way_(std::max(16 * devices_.size(), 2 * size_t{options_.threads})) {
  map.validate();
}

offline_map::~offline_map() {
  wait_for_answers();
}

void offline_map::offer(map_input what, completion done) {
  std::visit([&](auto& one) { take_in(std::move(one), std::move(done)); }, what);
}

void offline_map::take_in(keyframe frame, completion done) {
  if (const auto reason = options_.check ? options_.check(frame) : std::string{}; !reason.empty()) {
    std::unique_lock lock(mutex_);
    const auto verdict = refused(reason);
    lock.unlock();
    return done(verdict);
  }
  {
    std::unique_lock lock(mutex_);
    if (retracted_.contains(frame.id)) {
      ++counts_.kept_out;
      lock.unlock();
      return done({outcome::retracted, {}});
    }
    // The id is taken before the keyframe is, so that a second delivery meanwhile counts as one.
    for (;;) {
      const auto [its, fresh] = live_.try_emplace(frame.id);
      if (fresh) {
        its->second.group = frame.group;
        if (const auto moved = group_revisions_.find(frame.group); moved != group_revisions_.end())
          its->second.revision = moved->second;
        break;
      }
      if (!options_.ids_repeat) {
        ++counts_.duplicates;
        lock.unlock();
        return done({outcome::duplicate, {}});
      }
      if (const auto live = wait_for(frame.id, lock)) {
        lock.unlock();
        return done(compare(frame, *live));
      }
    }
    changed_.wait(lock, [this] { return under_way_ < most_under_way_; });
    if (failure_) {
      live_.erase(frame.id);
      changed_.notify_all();
      lock.unlock();
      return done({outcome::not_now, "the map could not take an earlier keyframe"});
    }
    ++under_way_;
  }
  take_request what;
  what.body = frame.body;
  what.world_from_camera = frame.world_from_camera;
  what.keep_rays = options_.keep_rays || options_.ids_repeat;
  what.mesh = options_.extract_each;
  what.times = options_.threads == 1;
  const auto start = clock::now();
  devices_.take(std::move(what), options_.threads > 1,
                [this, start, frame = std::move(frame), done = std::move(done)](shared_report report) {
                  done(answer_to(frame, std::move(report), seconds_since(start)));
                  const std::lock_guard lock(mutex_);
                  --under_way_;
                  changed_.notify_all(); // with the lock: who waits may destroy this object
                });
  if (options_.threads == 1)
    wait_for_answers();
}

void offline_map::set_aside(const std::string& source, const std::string& what, const std::string& reason) {
  const std::lock_guard lock(mutex_);
  refused(source + " " + what + ": " + reason);
}

void offline_map::finish() {
  wait_for_answers();
  const std::lock_guard lock(mutex_);
  if (failure_)
    std::rethrow_exception(std::exchange(failure_, nullptr));
}

offline_counts offline_map::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

template <class Answer, class Regions, class Ask>
std::vector<std::pair<region_key, Answer>> offline_map::of_each(const Regions& regions, Ask ask) {
  finish();
  std::vector<std::pair<region_key, Answer>> out;
  for (const auto& key : regions)
    out.emplace_back(key, Answer{});
  std::mutex mutex;
  std::condition_variable change;
  size_t left = out.size();
  std::exception_ptr failure;
  for (auto& [key, to] : out)
    ask(devices_.of(key), key, [&, to = &to](Answer answer, const std::exception_ptr& why) {
      const std::lock_guard lock(mutex);
      *to = std::move(answer);
      failure = failure ? failure : why;
      if (--left == 0)
        change.notify_one(); // with the lock: who waits destroys it
    });
  std::unique_lock lock(mutex);
  change.wait(lock, [&] { return left == 0; });
  if (failure)
    std::rethrow_exception(failure);
  return out;
}

std::vector<std::pair<region_key, field_stats>> offline_map::stats_of_each() {
  return of_each<field_stats>(touched_,
                              [](async_fields& device, region_key key, auto answer) { device.stats(key, std::move(answer)); });
}

std::map<keyframe_id, pose> offline_map::poses() const {
  const std::lock_guard lock(mutex_);
  std::map<keyframe_id, pose> out;
  for (const auto& [id, one] : live_)
    if (one.in_map)
      out[id] = one.world_from_camera;
  return out;
}

std::optional<offline_map::live_keyframe> offline_map::wait_for(const keyframe_id& id, std::unique_lock<std::mutex>& lock) {
  auto at = live_.find(id);
  changed_.wait(lock, [&] { return (at = live_.find(id)) == live_.end() || at->second.in_map; });
  return at == live_.end() ? std::nullopt : std::optional{at->second};
}

verdict offline_map::compare(const keyframe& frame, const live_keyframe& live) {
  struct made {
    ray_digest digest;
    ray_counts counts;
    std::exception_ptr failure;
  };
  const auto answer = std::make_shared<std::promise<made>>(); // a device may still be in it when the waiting is over
  auto future = answer->get_future();
  devices_.of({}).rays(frame.body, frame.world_from_camera,
                       [answer](const std::vector<ray>& rays, const ray_counts& counts, const std::exception_ptr& why) {
                         answer->set_value({digest_of(rays), counts, why});
                       });
  const auto [digest, counts, failure] = future.get();
  const std::lock_guard lock(mutex_);
  if (failure)
    return not_taken(failure, false);
  if (digest.rays == 0 && options_.why_empty)
    return refused(options_.why_empty(counts, 0));
  const char* other = nullptr;
  if (frame.world_from_camera != live.came_with && frame.world_from_camera != live.world_from_camera)
    other = "another pose";
  else if (digest != live.digest)
    other = "other points";
  if (other == nullptr) {
    ++counts_.duplicates;
    return {outcome::duplicate, {}};
  }
  ++counts_.conflicts;
  return {outcome::conflict, "keyframe_id " + shown(frame.id) + " came before, with " + other + "; the first one stays"};
}

verdict offline_map::answer_to(const keyframe& frame, shared_report report, double total_s) {
  const std::lock_guard lock(mutex_);
  auto& [whole, failure, in_part] = report;
  if (!failure && whole.regions.empty() && options_.why_empty) {
    live_.erase(frame.id);
    return refused(options_.why_empty(whole.counts, whole.beyond));
  }
  if (!failure) {
    note_regions(whole);
    ++counts_.keyframes;
    counts_.points += frame.body->size();
    counts_.rays += whole.rays;
    auto& live = live_[frame.id];
    live.came_with = live.world_from_camera = frame.world_from_camera;
    if (options_.ids_repeat)
      live.digest = digest_of(whole.kept);
    if (options_.keep_rays)
      live.batch.rays = std::make_shared<const std::vector<ray>>(std::move(whole.kept));
    live.in_map = true;
    if (options_.threads == 1)
      times_.push_back({whole.upload_ms / 1e3, whole.rays_ms / 1e3, whole.integrate_ms / 1e3, whole.extract_ms / 1e3, total_s,
                        whole.kernels, whole.copies, whole.attempts, whole.bytes_up, whole.bytes_down});
    return {};
  }
  live_.erase(frame.id);
  return not_taken(failure, in_part);
}

verdict offline_map::not_taken(const std::exception_ptr& why, bool in_part) {
  const auto kind = kind_of(why);
  if (!in_part && kind == failure_kind::torn)
    return {outcome::not_now, text_of(why)};
  if (!in_part && kind == failure_kind::bad)
    return refused(text_of(why));
  return ended_by(why, in_part);
}

verdict offline_map::refused(const std::string& reason) {
  ++counts_.set_aside;
  counts_.last_reason = reason;
  return {outcome::refused, reason};
}

verdict offline_map::ended_by(const std::exception_ptr& why, bool in_part) {
  failure_ = why;
  if (const auto kind = kind_of(why); in_part && kind != failure_kind::memory && kind != failure_kind::device)
    failure_ = std::make_exception_ptr(std::runtime_error(
      "of the devices that share the map, some took a keyframe and cannot give it back, and one did not: " + text_of(why)));
  if (options_.on_failure)
    options_.on_failure();
  return {outcome::not_now, "the map cannot take it: see the error that ends the work"};
}

void offline_map::note_regions(const take_report& report) {
  touched_.insert(report.regions.begin(), report.regions.end());
}

void offline_map::wait_for_answers() {
  // One at a time: the answer is a moment away, less than going to sleep and waking takes.
  if (const auto until = clock::now() + std::chrono::milliseconds(1); options_.threads == 1)
    while (under_way_ != 0 && clock::now() < until)
      spin_pause();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return under_way_ == 0; });
}

uint64_t offline_map::regions() {
  const auto parts = stats_of_each();
  return static_cast<uint64_t>(
    std::count_if(parts.begin(), parts.end(), [](const auto& part) { return part.second.blocks > 0; }));
}

field_stats offline_map::stats() {
  field_stats sum;
  for (const auto& [key, part] : stats_of_each()) {
    sum.hash += part.hash;
    sum.blocks += part.blocks;
    sum.voxels += part.voxels;
    sum.bytes += part.bytes;
  }
  return sum;
}

std::vector<region_mesh> offline_map::meshes() {
  const auto surfaces = of_each<std::shared_ptr<const mesh>>(
    touched_, [](async_fields& device, region_key key, auto answer) { device.extract(key, std::move(answer)); });
  std::vector<region_mesh> out;
  for (const auto& [key, surface] : surfaces)
    if (surface->triangles() > 0)
      out.push_back({key, 1, surface});
  return out;
}

field_slice offline_map::slice(const field_plane& plane) {
  finish();
  std::vector<region_key> regions;
  for (const auto& key : touched_)
    if (goes_through(map_, plane, key))
      regions.push_back(key);
  field_slice out{{}, regions.size()};
  if (out.cut > most_slice_regions(map_))
    return out;
  auto all = of_each<region_slice>(regions, [&](async_fields& device, region_key key, auto answer) {
    slice_region(device, map_, key, plane, std::move(answer));
  });
  for (auto& [key, its] : all)
    if (!its.weights.empty())
      out.parts.push_back(std::move(its));
  return out;
}

std::optional<placed_rays> offline_map::rays_of(const keyframe_id& id) const {
  const std::lock_guard lock(mutex_);
  const auto its = live_.find(id);
  if (its == live_.end() || !its->second.in_map)
    return std::nullopt;
  return placed_rays{its->second.batch, its->second.world_from_camera};
}

} // namespace tessera
