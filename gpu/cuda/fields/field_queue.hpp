#pragma once

#include "gpu/cuda/device/pinned_body.hpp"
#include "gpu/cuda/fields/stats_batch.hpp"
#include "gpu/cuda/keyframes/keyframe_batch.hpp"
#include "gpu/cuda/keyframes/ray_lane.hpp"
#include "gpu/cuda/mesh/mesh_batch.hpp"
#include "gpu/fields.hpp"
#include "gpu/host/spin.hpp"
#include "gpu/region_image.hpp"
#include "messages/thread_name.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <variant>

namespace tessera::cuda {

/// The fields of a device: one thread for them, which takes all that waits and can be done together, so that a batch takes a
/// handful of launches, however many regions it is about; and a few threads that make rays.
template <device_like Device>
class field_queue final : public async_fields {
public:
  /// Throws std::bad_alloc if the device has no room for the pool.
  field_queue(std::unique_ptr<Device> device, const map_settings& map, const field_options& options)
    : device_(bound(std::move(device))), map_(checked(map)), stream_(*device_), store_(*device_, stream_, map, options),
      stats_(*device_, stream_, map, store_), meshes_(*device_, stream_, map, store_), crew_(options.copy_helpers),
      keyframes_(*device_, stream_, map, store_, meshes_, crew_, options.ray_lanes), memory_(store_.status()),
      extract_wait_(options.extract_wait) {
    for (uint32_t i = 0; i < std::max(1u, options.ray_lanes); ++i)
      lanes_.push_back(std::make_unique<ray_lane<Device>>(*device_, map, crew_));
    for (auto& lane : lanes_)
      threads_.emplace_back([this, &lane] { make_rays(*lane); });
    threads_.emplace_back([this] { work(); });
  }
  ~field_queue() override {
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
    }
    work_.notify_all();
    ray_work_.notify_all();
    threads_.clear(); // joins
    const auto closing = std::make_exception_ptr(std::runtime_error("the device is being closed"));
    for (auto& r : waiting_)
      fail(r, closing);
    for (auto& r : soon_)
      r.answer(nullptr, closing);
    for (auto& r : waiting_rays_)
      r.answer({}, {}, closing);
  }
  field_queue(const field_queue&) = delete;
  field_queue& operator=(const field_queue&) = delete;

  [[nodiscard]] std::string name() const override { return device_->name(); }
  void rays(std::shared_ptr<const keyframe_body> body, const pose& world_from_camera, rays_done answer) override {
    {
      const std::scoped_lock lock(mutex_);
      waiting_rays_.push_back({std::move(body), world_from_camera, std::move(answer)});
    }
    ray_work_.notify_one();
  }
  void take(take_request what, take_done answer) override {
    try {
      check(what);
    } catch (const std::invalid_argument&) {
      return answer({}, std::current_exception());
    }
    if (what.body || (what.rays.rays && !what.rays.rays->empty()))
      what.from_peer.reset(); // it counts only if there is neither
    add({task::take, {}, asked_keyframe{std::move(what), std::move(answer)}});
  }
  void extract(region_key region, mesh_done answer) override { add({task::extract, region, std::move(answer)}); }
  void extract_soon(region_key region, mesh_done answer) override {
    {
      const std::scoped_lock lock(mutex_);
      soon_.push_back({region, std::move(answer), steady::now()});
      asked_.fetch_add(1, std::memory_order_release);
    }
    work_.notify_one();
  }
  void stats(region_key region, stats_done answer) override { add({task::stats, region, std::move(answer)}); }
  void drop(region_key region, done answer) override { add({task::drop, region, std::move(answer)}); }
  void clear(done answer) override { add({task::clear, {}, std::move(answer)}); }
  void export_region(region_key region, image_done answer) override { add({task::export_image, region, std::move(answer)}); }
  void import_region(region_key region, region_image image, done answer) override {
    try {
      check_image(map_, region, image);
    } catch (const std::invalid_argument&) {
      return answer(std::current_exception());
    }
    add({task::import_image, region, std::move(answer), std::move(image)});
  }
  [[nodiscard]] std::shared_ptr<const keyframe_body> pin(const keyframe_body& body) override {
    return std::make_shared<pinned_body<Device>>(*device_, body);
  }
  [[nodiscard]] memory_status memory() const override {
    const std::scoped_lock lock(mutex_);
    return memory_;
  }
  void break_down(breakage how) override { device_->break_down(how); }

private:
  using steady = std::chrono::steady_clock;
  enum class task : uint8_t { take, extract, stats, drop, clear, export_image, import_image };
  struct request {
    task what;
    region_key region; ///< none of take and clear
    std::variant<done, mesh_done, stats_done, image_done, asked_keyframe> answer;
    region_image image{}; ///< to be imported
  };
  /// An extraction that lets keyframes go first.
  struct patient_request {
    region_key region;
    mesh_done answer;
    steady::time_point since;
  };
  struct ray_request {
    std::shared_ptr<const keyframe_body> body;
    pose world_from_camera;
    rays_done answer;
  };
  /// Of one batch: keeps the buffers of a launch within bounds, and the time until others have their turn. Entries are those of
  /// the tables of regions that are meshed.
  static constexpr size_t most_requests = 512, most_entries = size_t{1} << 17;

  static std::unique_ptr<Device> bound(std::unique_ptr<Device> device) {
    device->bind();
    return device;
  }
  static const map_settings& checked(const map_settings& map) {
    map.validate();
    return map;
  }
  /// Throws std::invalid_argument if a request makes no sense.
  static void check(const take_request& what) {
    const region_share& share = what.share;
    if (share.count == 0 || share.count > most_shares || share.index >= share.count)
      throw std::invalid_argument("share is " + std::to_string(share.index) + " of " + std::to_string(share.count)
                                  + "; there are 1 to " + std::to_string(most_shares));
    if ((share.lost >> share.index & 1) != 0)
      throw std::invalid_argument("share is " + std::to_string(share.index) + ", whose device is lost");
    if (what.sign != 1 && what.sign != -1)
      throw std::invalid_argument("sign is " + std::to_string(what.sign) + "; it is 1 or -1");
    if (!what.body && !what.from_peer && !what.rays.rays)
      throw std::invalid_argument("there are neither points nor rays");
    if (what.from_peer && dynamic_cast<const device_peer_rays<Device>*>(what.from_peer.get()) == nullptr)
      throw std::invalid_argument("the rays are not from a device of this kind");
  }
  static void fail(request& r, const std::exception_ptr& why) {
    std::visit(
      [&]<class Answer>(Answer& answer) {
        if constexpr (std::is_same_v<Answer, done>)
          answer(why);
        else if constexpr (std::is_same_v<Answer, asked_keyframe>)
          answer.answer({}, why);
        else
          answer({}, why);
      },
      r.answer);
  }

  void add(request r) {
    {
      const std::scoped_lock lock(mutex_);
      waiting_.push_back(std::move(r));
      asked_.fetch_add(1, std::memory_order_release);
    }
    work_.notify_one();
  }

  /// After a whole keyframe the next one is mostly a moment away: sleeping and waking takes longer than its work. So looks for it
  /// for that moment.
  void await_next() {
    if (!std::exchange(keyframe_done_, false) || !keyframes_.is_idle())
      return;
    uint64_t seen = 0;
    {
      const std::scoped_lock lock(mutex_);
      if (!waiting_.empty())
        return;
      seen = asked_.load(std::memory_order_relaxed);
    }
    (void)hear_of_more(seen, steady::now() + std::chrono::microseconds(100));
  }

  /// Whether something was asked for after `seen`, at the latest then.
  [[nodiscard]] bool hear_of_more(uint64_t seen, steady::time_point until) const {
    while (asked_.load(std::memory_order_acquire) == seen) {
      if (steady::now() >= until)
        return false;
      spin_pause();
    }
    return true;
  }

  /// The regions that a keyframe changed are asked for one by one, a moment apart: those that are there are meshed when there
  /// were no more for such a moment, so that they take one batch.
  void await_other_extractions() {
    uint64_t seen = 0;
    {
      const std::scoped_lock lock(mutex_);
      if (soon_.empty() || !waiting_.empty() || !keyframes_.is_idle() || steady::now() < patient_turn())
        return;
      seen = asked_.load(std::memory_order_relaxed);
    }
    const auto last = steady::now() + std::chrono::microseconds(200);
    while (hear_of_more(seen, std::min(last, steady::now() + std::chrono::microseconds(40))))
      seen = asked_.load(std::memory_order_acquire);
  }

  /// Takes those that were asked for first, of each region once.
  std::vector<request> take_patient() {
    std::vector<request> batch;
    std::set<region_key> there;
    const size_t most = most_at_once(task::extract);
    while (!soon_.empty() && batch.size() < most && there.insert(soon_.front().region).second) {
      batch.push_back({task::extract, soon_.front().region, std::move(soon_.front().answer)});
      soon_.pop_front();
    }
    return batch;
  }
  /// When patient extractions have their turn: if no other request waits, from `soon_from_` on; else when keyframes went first
  /// for long enough.
  [[nodiscard]] steady::time_point patient_turn() const {
    const auto patience_ends = soon_.front().since + extract_wait_;
    return waiting_.empty() ? std::min(soon_from_, patience_ends) : patience_ends;
  }
  /// So that keyframes that come faster than they are taken have most of the time, however long it takes to mesh what they
  /// change.
  void note_patient_batch(steady::time_point begun) {
    const auto now = steady::now();
    const std::scoped_lock lock(mutex_);
    const bool pressed = waiting_.size() > 1;
    soon_from_ = pressed ? now + 3 * (now - begun) : now;
  }

  /// Takes the first request, which is no keyframe, and all of its kind that do not pass another one of their region. Keyframes
  /// may be passed: they take effect when they are answered.
  std::vector<request> take_batch() {
    std::vector<request> batch;
    std::deque<request> left;
    std::set<region_key> passed;
    const task what = waiting_.front().what;
    const size_t most = most_at_once(what);
    bool stopped = false;
    for (auto& r : waiting_) {
      if (!stopped && r.what == what && batch.size() < most && !passed.contains(r.region)) {
        batch.push_back(std::move(r));
        continue;
      }
      stopped = stopped || r.what == task::clear; // nothing passes that
      if (r.what != task::take)
        passed.insert(r.region);
      left.push_back(std::move(r));
    }
    waiting_ = std::move(left);
    return batch;
  }
  [[nodiscard]] size_t most_at_once(task what) const {
    if (what == task::extract)
      return std::clamp<size_t>(most_entries / store_.table_size(), 1, most_requests);
    return what == task::stats || what == task::drop ? most_requests : 1;
  }

  void work() {
    name_thread("gpu fields");
    device_->bind();
    std::exception_ptr failure;
    for (;;) {
      std::vector<request> batch;
      bool more = false, busy = false, patient_first = false, may_start = false;
      uint64_t seen = 0;
      await_next();
      await_other_extractions();
      {
        std::unique_lock lock(mutex_);
        memory_ = store_.status();
        memory_.batches = batches_;
        memory_.kernels = stream_.kernels();
        const auto has_work = [&] {
          return stopping_ || !waiting_.empty() || !keyframes_.is_idle() || (!soon_.empty() && steady::now() >= patient_turn());
        };
        while (!has_work())
          if (soon_.empty())
            work_.wait(lock);
          else
            work_.wait_until(lock, patient_turn());
        if (stopping_)
          break;
        patient_first = !soon_.empty() && steady::now() >= patient_turn();
        seen = asked_.load(std::memory_order_relaxed);
        may_start = waiting_.empty() && keyframes_.has_room();
        if (!waiting_.empty() && waiting_.front().what == task::take && keyframes_.has_room() && !patient_first) {
          batch.push_back(std::move(waiting_.front()));
          waiting_.pop_front();
          busy = !waiting_.empty();
          more = busy && waiting_.front().what == task::take && std::get<asked_keyframe>(waiting_.front().answer).what.mesh;
        } else if (keyframes_.is_idle()) {
          batch = patient_first ? take_patient() : take_batch();
        }
      }
      if (batch.empty()) {
        if (!may_start || first_is_done_before_more_comes(seen, failure))
          finish_keyframe(failure);
        continue;
      }
      if (batch[0].what == task::take) {
        start_keyframe(batch[0], more, busy, failure);
        continue;
      }
      ++batches_;
      const auto begun = steady::now();
      run(batch, failure);
      if (patient_first)
        note_patient_batch(begun);
    }
    while (!keyframes_.is_idle())
      finish_keyframe(failure);
  }

  void start_keyframe(request& r, bool more, bool busy, std::exception_ptr& failure) {
    if (failure)
      return fail(r, failure);
    auto& asked = std::get<asked_keyframe>(r.answer);
    try {
      keyframes_.start(asked, more, busy);
      return;
    } catch (const std::bad_alloc&) {
      return asked.answer({}, std::current_exception());
    } catch (const std::invalid_argument&) {
      return asked.answer({}, std::current_exception());
    } catch (const torn_keyframe&) {
      return asked.answer({}, std::current_exception());
    } catch (...) {
      failure = std::current_exception();
    }
    fail(r, failure);
    keyframes_.fail(failure);
  }

  /// Looks for the end of the keyframe that was begun first, and for another one that can be begun meanwhile: false if that comes
  /// first, or if the device failed. True after a moment, too: to wait for the device is less work than to go on looking.
  [[nodiscard]] bool first_is_done_before_more_comes(uint64_t seen, std::exception_ptr& failure) {
    const auto until = steady::now() + std::chrono::microseconds(500);
    try {
      while (!keyframes_.first_is_done() && steady::now() < until) {
        if (asked_.load(std::memory_order_acquire) != seen)
          return false;
        spin_pause();
      }
    } catch (...) {
      failure = std::current_exception();
      keyframes_.fail(failure);
      return false;
    }
    return true;
  }

  void finish_keyframe(std::exception_ptr& failure) {
    keyframe_done_ = true;
    try {
      keyframes_.finish(batches_);
    } catch (...) {
      failure = std::current_exception();
      keyframes_.fail(failure);
    }
  }

  /// Does a batch; in parts, if there is no room for all of it at once.
  void run(std::span<request> batch, std::exception_ptr& failure) {
    if (!failure) {
      try {
        attempt(batch);
        return;
      } catch (const std::bad_alloc&) {
        if (batch.size() == 1) {
          fail(batch[0], std::current_exception());
          return;
        }
      } catch (...) {
        failure = std::current_exception();
      }
    }
    if (failure) {
      for (request& r : batch)
        fail(r, failure);
      return;
    }
    run(batch.first(batch.size() / 2), failure);
    run(batch.subspan(batch.size() / 2), failure);
  }

  /// Answers all or throws before the first answer.
  void attempt(std::span<request> batch) {
    std::vector<region_key> keys;
    for (const request& r : batch)
      keys.push_back(r.region);
    switch (batch[0].what) {
    case task::extract: {
      const auto meshes = meshes_.extract(keys, batches_);
      for (size_t i = 0; i < batch.size(); ++i)
        std::get<mesh_done>(batch[i].answer)(meshes[i], nullptr);
      break;
    }
    case task::stats: {
      const auto stats = stats_.stats(keys);
      for (size_t i = 0; i < batch.size(); ++i)
        std::get<stats_done>(batch[i].answer)(stats[i], nullptr);
      break;
    }
    case task::drop:
      for (const region_key key : keys)
        store_.drop(key);
      answer_done(batch);
      break;
    case task::clear:
      store_.clear();
      answer_done(batch);
      break;
    case task::export_image:
      std::get<image_done>(batch[0].answer)(store_.image_of(keys[0]), nullptr);
      break;
    case task::import_image:
      store_.take_image(keys[0], batch[0].image, batches_);
      answer_done(batch);
      break;
    case task::take: // never in a batch
      break;
    }
  }
  static void answer_done(std::span<request> batch) {
    for (request& r : batch)
      std::get<done>(r.answer)(nullptr);
  }

  void make_rays(ray_lane<Device>& lane) {
    name_thread("gpu rays");
    device_->bind();
    for (;;) {
      ray_request r;
      {
        std::unique_lock lock(mutex_);
        ray_work_.wait(lock, [&] { return stopping_ || !waiting_rays_.empty(); });
        if (stopping_)
          return;
        r = std::move(waiting_rays_.front());
        waiting_rays_.pop_front();
      }
      std::vector<ray> rays;
      ray_counts counts;
      std::exception_ptr failure;
      try {
        rays = lane.make_and_wait(*r.body, r.world_from_camera, counts);
      } catch (...) {
        failure = std::current_exception();
      }
      r.answer(std::move(rays), counts, failure);
    }
  }

  std::unique_ptr<Device> device_;
  map_settings map_;
  typename Device::stream stream_;
  region_store<Device> store_;
  stats_batch<Device> stats_;
  mesh_batch<Device> meshes_;
  copy_crew crew_;
  keyframe_batch<Device> keyframes_;
  std::vector<std::unique_ptr<ray_lane<Device>>> lanes_;
  uint64_t batches_ = 0;
  bool keyframe_done_ = false;
  std::atomic<uint64_t> asked_{0};

  mutable std::mutex mutex_;
  std::condition_variable work_, ray_work_; ///< for the fields' thread; for those that make rays
  std::deque<request> waiting_;
  std::deque<patient_request> soon_; ///< by time
  steady::time_point soon_from_{};   ///< their turn, if nothing else waits
  std::deque<ray_request> waiting_rays_;
  memory_status memory_;
  steady::duration extract_wait_;
  bool stopping_ = false;
  std::vector<std::jthread> threads_; ///< last: they use all of the above
};

} // namespace tessera::cuda
