#include "gpu/offline_map.hpp"

#include "gpu/bounds.hpp"
#include "gpu/region_pool.hpp"
#include "gpu/spin.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <unordered_map>

namespace tessera {

namespace {

using clock = std::chrono::steady_clock;

double seconds_since(clock::time_point start) {
  return std::chrono::duration<double>(clock::now() - start).count();
}

/// A live keyframe; without rays unless they are kept.
struct live_keyframe {
  ray_batch batch;
  pose world_from_camera;
};

/// What several devices say of one keyframe.
struct shared_keyframe {
  explicit shared_keyframe(uint32_t devices) : left(devices) {}
  /// True for the last of them.
  bool add(cuda::fuse_report&& part, const std::exception_ptr& why) {
    const std::lock_guard lock(mutex);
    failure = failure ? failure : why;
    taken = taken || !why;
    whole.rays = std::max(whole.rays, part.rays); // all say the same, or nothing if they did not make them
    if (!part.kept.empty())
      whole.kept = std::move(part.kept);
    whole.regions.insert(whole.regions.end(), part.regions.begin(), part.regions.end());
    whole.vertices += part.vertices;
    whole.triangles += part.triangles;
    for (const auto each : {&cuda::fuse_report::upload_ms, &cuda::fuse_report::rays_ms, &cuda::fuse_report::integrate_ms,
                            &cuda::fuse_report::extract_ms})
      whole.*each = std::max(whole.*each, part.*each);
    whole.kernels += part.kernels;
    whole.copies += part.copies;
    whole.bytes_up += part.bytes_up;
    whole.bytes_down += part.bytes_down;
    whole.attempts = std::max(whole.attempts, part.attempts);
    return --left == 0;
  }
  std::mutex mutex;
  uint32_t left;
  bool handed_on = false; ///< the device that makes the rays has handed them to the others
  bool taken = false;     ///< by one of the devices, at least
  cuda::fuse_report whole;
  std::exception_ptr failure;
};

} // namespace

class offline_map::state {
public:
  state(const mapping& map, std::unique_ptr<backend> device, offline_options options)
    : map_(map), device_(std::move(device)), options_(std::move(options)) {
    map_.validate();
    if (options_.devices.size() > cuda::most_shares)
      throw std::invalid_argument("a map is shared by at most " + std::to_string(cuda::most_shares) + " devices, not "
                                  + std::to_string(options_.devices.size()));
    if (options_.threads > 1 && options_.devices.empty())
      pool_ = std::make_unique<region_pool>(
        options_.threads, [this](region_key region, std::span<const ray_job> jobs) { apply(region, jobs); },
        // Re-meshing after each keyframe is the work of a live service only if several jobs are not done as one.
        options_.extract_each);
  }

  void offer(keyframe frame, completion done) {
    if (auto reason = options_.check ? options_.check(frame) : std::string{}; !reason.empty()) {
      refuse(reason);
      return done({outcome::refused, std::move(reason)});
    }
    {
      const std::lock_guard lock(mutex_);
      // The id is taken before the rays are made, so that a second delivery meanwhile counts as one.
      if (!live_.try_emplace(frame.id).second) {
        ++counts_.duplicates;
        return done({outcome::duplicate, {}});
      }
    }
    if (!options_.devices.empty())
      return fuse(frame, std::move(done));
    if (!pool_)
      return take(frame, done);
    pool_->run([this, frame = std::move(frame), done = std::move(done)] {
      if (pool_->failed())
        return done({outcome::not_now, "the map could not take an earlier keyframe"});
      take(frame, done);
    });
  }

  void take(const keyframe& frame, const completion& done) {
    try {
      done(taken(frame));
    } catch (...) {
      done({outcome::not_now, "the map cannot take it: see the error that ends the work"});
      failed();
      throw;
    }
  }

  void failed() const {
    if (options_.on_failure)
      options_.on_failure();
  }

  /// The keyframe, whose id is its own by now, is not taken.
  verdict not_taken(const keyframe_id& id, const std::string& reason) {
    {
      const std::lock_guard lock(mutex_);
      live_.erase(id);
    }
    refuse(reason);
    return {outcome::refused, reason};
  }

  /// Takes a keyframe whose id is its own by now.
  verdict taken(const keyframe& frame) {
    const auto start = clock::now();
    ray_counts seen;
    uint64_t beyond = 0;
    std::vector<ray> rays;
    partition parts;
    std::string too_large;
    try {
      rays = make_rays(map_, *frame.body, frame.world_from_camera, seen);
      parts = partition_rays(map_, rays, frame.world_from_camera, beyond);
    } catch (const keyframe_too_large& e) {
      too_large = e.what();
    }
    if (auto torn = frame.body->torn(); !torn.empty()) { // whatever was read means nothing
      const std::lock_guard lock(mutex_);
      live_.erase(frame.id);
      return {outcome::not_now, std::move(torn)};
    }
    if (!too_large.empty())
      return not_taken(frame.id, too_large);
    stage_times times{.rays_s = seconds_since(start)};
    {
      const std::lock_guard lock(mutex_);
      ++counts_.keyframes;
      counts_.points += frame.body->size();
      counts_.rays += rays.size();
      if (options_.keep_rays)
        live_[frame.id] = {{std::make_shared<const std::vector<ray>>(std::move(rays))}, frame.world_from_camera};
    }
    send(parts, frame.world_from_camera, 1, times);
    return {};
  }

  /// Has a keyframe taken whole. Waits for it if there is one thread, else while many are under way.
  void fuse(const keyframe& frame, completion done) {
    {
      std::unique_lock lock(mutex_);
      answered_.wait(lock, [this] { return under_way_ < most_under_way * options_.devices.size(); });
      if (failure_) {
        lock.unlock();
        return done({outcome::not_now, "the map could not take an earlier keyframe"});
      }
      ++under_way_;
    }
    const auto start = clock::now();
    const auto here = static_cast<uint32_t>(options_.devices.size());
    const auto all = std::make_shared<shared_keyframe>(here);
    const cuda::keyframe_device::fused answer
      = [this, start, frame, done, all](cuda::fuse_report report, const std::exception_ptr& failure) {
          if (!all->add(std::move(report), failure))
            return;
          done(fused(frame, *all, seconds_since(start)));
          const std::lock_guard lock(mutex_);
          --under_way_;
          answered_.notify_all(); // with the lock: who waits may end this object
        };
    // Of many keyframes under way each device copies its share, and hands rays on. One at a time it is over sooner if all devices
    // copy it.
    if (here > 1 && options_.threads > 1)
      fuse_in_turn(frame, turn_++ % here, all, answer);
    else
      for (uint32_t i = 0; i < here; ++i)
        options_.devices[i]->fuse(frame.body, frame.world_from_camera, how(i, options_.keep_rays && i == 0), answer);
    if (options_.threads == 1)
      wait_for_fused();
  }

  void fuse_in_turn(const keyframe& frame, uint32_t first, const std::shared_ptr<shared_keyframe>& all,
                    const cuda::keyframe_device::fused& answer) {
    options_.devices[first]->fuse(
      frame.body, frame.world_from_camera, how(first, options_.keep_rays),
      [all, answer](cuda::fuse_report report, const std::exception_ptr& failure) {
        if (failure && !all->handed_on)
          all->left = 1; // the others are not told of it
        answer(std::move(report), failure);
      },
      [this, at = frame.world_from_camera, all, answer](std::vector<std::shared_ptr<const cuda::handed_rays>> rays) {
        all->handed_on = true;
        for (uint32_t i = 0; i < rays.size(); ++i)
          if (rays[i] != nullptr && rays[i]->size() == 0)
            answer({}, nullptr);
          else if (rays[i] != nullptr)
            options_.devices[i]->fuse_handed(std::move(rays[i]), at, how(i, false), answer);
      });
  }

  [[nodiscard]] cuda::fuse_options how(uint32_t device, bool keep_rays) const {
    return {.mesh = options_.extract_each,
            .keep_rays = keep_rays,
            .times = options_.threads == 1,
            .share = device,
            .shares = static_cast<uint32_t>(options_.devices.size())};
  }

  verdict fused(const keyframe& frame, shared_keyframe& all, double wall_s) {
    const std::lock_guard lock(mutex_);
    auto& report = all.whole;
    if (!all.failure) {
      ++counts_.keyframes;
      counts_.points += frame.body->size();
      counts_.rays += report.rays;
      for (const auto region : report.regions)
        ++touched_[region];
      if (options_.keep_rays)
        live_[frame.id] = {{std::make_shared<const std::vector<ray>>(std::move(report.kept))}, frame.world_from_camera};
      if (options_.threads == 1)
        times_.push_back({report.upload_ms / 1e3, report.rays_ms / 1e3, report.integrate_ms / 1e3, report.extract_ms / 1e3,
                          wall_s, report.kernels, report.copies, report.attempts, report.bytes_up, report.bytes_down});
      return {};
    }
    live_.erase(frame.id);
    try {
      std::rethrow_exception(all.failure);
    } catch (const cuda::torn_keyframe& torn) {
      if (!all.taken)
        return {outcome::not_now, torn.what()};
      failure_ = in_part(torn);
    } catch (const keyframe_too_large& e) {
      if (!all.taken) {
        ++counts_.set_aside;
        counts_.last_reason = e.what();
        return {outcome::refused, e.what()};
      }
      failure_ = in_part(e);
    } catch (...) {
      failure_ = all.failure;
    }
    failed();
    return {outcome::not_now, "the map cannot take it: see the error that ends the work"};
  }

  /// A device that took its share cannot give it back: better no map than one that holds a keyframe in part.
  static std::exception_ptr in_part(const std::exception& why) {
    return std::make_exception_ptr(
      std::runtime_error(std::string{"of the devices that share the map, some took a keyframe, and one did not: "} + why.what()));
  }

  void wait_for_fused() {
    // One at a time: the answer is a moment away, less than going to sleep and waking takes.
    if (const auto until = clock::now() + std::chrono::milliseconds(1); options_.threads == 1 && !options_.devices.empty())
      while (under_way_ != 0 && clock::now() < until)
        spin_pause();
    std::unique_lock lock(mutex_);
    answered_.wait(lock, [this] { return under_way_ == 0; });
  }

  void move(const keyframe_id& id, const pose* to, const completion& done) {
    if (!options_.keep_rays)
      return done({outcome::refused, "this map keeps no rays, so that nothing can be taken out of it"});
    finish(); // a keyframe that is still under way has no rays yet
    live_keyframe was;
    partition moved;
    uint64_t beyond = 0;
    {
      const std::lock_guard lock(mutex_);
      const auto at = live_.find(id);
      if (at == live_.end())
        return done({outcome::unknown, {}});
      was = at->second;
      try {
        if (to != nullptr)
          moved = partition_rays(map_, *was.batch.rays, *to, beyond);
      } catch (const keyframe_too_large& e) {
        return done({outcome::refused, std::string{"under the new pose "} + e.what()});
      }
      if (to != nullptr) {
        at->second.world_from_camera = *to;
      } else {
        live_.erase(at);
        --counts_.keyframes;
      }
    }
    stage_times times;
    send(partition_rays(map_, *was.batch.rays, was.world_from_camera, beyond), was.world_from_camera, -1, times);
    if (to != nullptr)
      send(moved, *to, 1, times);
    done({outcome::accepted, {}});
  }

  void refuse(const std::string& reason) {
    const std::lock_guard lock(mutex_);
    ++counts_.set_aside;
    counts_.last_reason = reason;
  }

  void finish() {
    if (pool_)
      pool_->wait();
    wait_for_fused();
    const std::lock_guard lock(mutex_);
    if (failure_)
      std::rethrow_exception(std::exchange(failure_, nullptr));
  }

  ~state() { wait_for_fused(); }
  state(const state&) = delete;
  state& operator=(const state&) = delete;

  offline_counts counts() const {
    const std::lock_guard lock(mutex_);
    return counts_;
  }

  const std::vector<stage_times>& times() const { return times_; }

  std::vector<region_key> keys() const {
    const std::lock_guard lock(mutex_);
    std::vector<region_key> out;
    out.reserve(touched_.size());
    for (const auto& [key, jobs] : touched_)
      out.push_back(key);
    std::sort(out.begin(), out.end());
    return out;
  }

  /// Calls `what(i, key)` for each region, spread over the threads.
  template <class F>
  void for_regions(const std::vector<region_key>& regions, F what) {
    finish();
    std::atomic<size_t> next = 0;
    std::exception_ptr failure;
    const auto work = [&] {
      try {
        for (auto i = next++; i < regions.size(); i = next++)
          what(i, regions[i]);
      } catch (...) {
        next = regions.size();
        const std::lock_guard lock(mutex_);
        failure = std::current_exception();
      }
    };
    {
      std::vector<std::jthread> threads;
      try {
        for (uint32_t t = 1; t < options_.threads && t < regions.size(); ++t)
          threads.emplace_back(work);
      } catch (const std::system_error&) { // those that could be started do it all
      }
      work();
    }
    if (failure)
      std::rethrow_exception(failure);
  }

  [[nodiscard]] backend& device() const { return *device_; }

private:
  void send(const partition& parts, const pose& world_from_camera, int32_t sign, stage_times& times) {
    {
      const std::lock_guard lock(mutex_);
      for (const auto& part : parts.parts)
        ++touched_[part.region];
    }
    std::vector<std::pair<region_key, ray_job>> jobs;
    jobs.reserve(parts.parts.size());
    for (const auto& part : parts.parts)
      jobs.emplace_back(
        part.region,
        ray_job{
          .batch = parts.batch, .first = part.first, .count = part.count, .world_from_camera = world_from_camera, .sign = sign});
    if (pool_)
      return pool_->add(std::move(jobs));
    for (const auto& [region, job] : jobs) { // region by region, as meshers do: what was written is still in the cache
      auto start = clock::now();
      device_->integrate(region, {&job, 1});
      times.integrate_s += seconds_since(start);
      if (options_.extract_each) {
        start = clock::now();
        device_->extract(region);
        times.extract_s += seconds_since(start);
      }
    }
    if (sign > 0)
      times_.push_back(times);
  }

  void apply(region_key region, std::span<const ray_job> jobs) {
    try {
      device_->integrate(region, jobs);
      if (options_.extract_each)
        device_->extract(region);
    } catch (...) {
      failed();
      throw;
    }
  }

  static constexpr size_t most_under_way = 16; ///< for each device

  const mapping map_;
  const std::unique_ptr<backend> device_;
  const offline_options options_;
  mutable std::mutex mutex_;
  std::unordered_map<keyframe_id, live_keyframe> live_;
  std::unordered_map<region_key, uint64_t> touched_; ///< how many jobs each region got
  offline_counts counts_;
  std::vector<stage_times> times_;
  std::atomic<size_t> under_way_ = 0; ///< keyframes that devices take whole
  std::atomic<uint32_t> turn_ = 0;
  std::condition_variable answered_;
  std::exception_ptr failure_;        ///< of such a keyframe
  std::unique_ptr<region_pool> pool_; ///< last: its threads use all of the above
};

offline_map::offline_map(const mapping& map, std::unique_ptr<backend> device, offline_options options)
  : state_(std::make_unique<state>(map, std::move(device), std::move(options))) {}

offline_map::~offline_map() = default;

void offline_map::offer(keyframe frame, completion done) {
  state_->offer(std::move(frame), std::move(done));
}

void offline_map::retract(keyframe_id id, completion done) {
  state_->move(id, nullptr, done);
}

void offline_map::revise(keyframe_id id, pose world_from_camera, completion done) {
  state_->move(id, &world_from_camera, done);
}

void offline_map::set_aside(const std::string& source, const std::string& what, const std::string& reason) {
  state_->refuse(source + " " + what + ": " + reason);
}

void offline_map::finish() {
  state_->finish();
}

offline_counts offline_map::counts() const {
  return state_->counts();
}

const std::vector<stage_times>& offline_map::times() const {
  return state_->times();
}

uint64_t offline_map::regions() {
  const auto keys = state_->keys();
  std::atomic<uint64_t> held = 0;
  state_->for_regions(keys, [&](size_t, region_key key) { held += state_->device().stats(key).blocks > 0 ? 1 : 0; });
  return held;
}

field_stats offline_map::stats() {
  const auto keys = state_->keys();
  std::vector<field_stats> parts(keys.size());
  state_->for_regions(keys, [&](size_t i, region_key key) { parts[i] = state_->device().stats(key); });
  field_stats sum;
  for (const auto& part : parts) {
    sum.hash += part.hash;
    sum.blocks += part.blocks;
    sum.voxels += part.voxels;
    sum.bytes += part.bytes;
  }
  return sum;
}

std::vector<region_mesh> offline_map::meshes() {
  const auto keys = state_->keys();
  std::vector<region_mesh> out(keys.size());
  state_->for_regions(keys, [&](size_t i, region_key key) { out[i] = {key, 1, state_->device().extract(key)}; });
  std::erase_if(out, [](const region_mesh& m) { return m.surface->triangles() == 0; });
  return out;
}

} // namespace tessera
