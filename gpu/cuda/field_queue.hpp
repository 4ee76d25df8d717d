#pragma once

#include "gpu/cuda/device/pinned_body.hpp"
#include "gpu/cuda/fields/stats_batch.hpp"
#include "gpu/cuda/keyframes/keyframe_batch.hpp"
#include "gpu/cuda/keyframes/ray_makers.hpp"
#include "gpu/cuda/mesh/mesh_batch.hpp"
#include "gpu/cuda/request_line.hpp"
#include "gpu/fields.hpp"
#include "gpu/host/spin.hpp"
#include "gpu/region_image.hpp"
#include "messages/thread_name.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace tessera::cuda {

/// The fields of a device: one thread for them, which takes all that waits and can be done together, so that a batch takes a
/// handful of launches, however many regions it is about; and a few that make rays.
template <device_like Device>
class field_queue final : public async_fields {
public:
  /// Throws std::bad_alloc if the device has no room for the pool.
  field_queue(std::unique_ptr<Device> device, const map_settings& map, const field_options& options)
    : device_(bound(std::move(device))), map_(checked(map)), stream_(*device_), store_(*device_, stream_, map, options),
      stats_(*device_, stream_, map, store_), meshes_(*device_, stream_, map, store_), crew_(options.copy_helpers),
      keyframes_(*device_, stream_, map, store_, meshes_, crew_, options.ray_lanes),
      rays_(*device_, map, crew_, options.ray_lanes), line_(options.extract_wait, store_.table_size()), memory_(store_.status()),
      thread_([this] { work(); }) {}
  ~field_queue() override {
    {
      const std::scoped_lock lock(mutex_);
      stopping_ = true;
    }
    work_.notify_all();
    thread_.join();
    line_.fail(std::make_exception_ptr(std::runtime_error("the device is being closed")));
  }
  field_queue(const field_queue&) = delete;
  field_queue& operator=(const field_queue&) = delete;

  [[nodiscard]] std::string name() const override { return device_->name(); }
  void rays(std::shared_ptr<const keyframe_body> body, const pose& world_from_camera, rays_done answer) override {
    rays_.add(std::move(body), world_from_camera, std::move(answer));
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
    ask([&] { line_.add_patient(region, std::move(answer)); });
  }
  void stats(region_key region, stats_done answer) override { add({task::stats, region, std::move(answer)}); }
  void drop(region_key region, done answer) override { add({task::drop, region, std::move(answer)}); }
  void clear(done answer) override { add({task::clear, {}, std::move(answer)}); }
  void export_region(region_key region, image_done answer) override { add({task::export_image, region, std::move(answer)}); }
  void import_region(region_key region, region_image image, done answer) override {
    add_image(task::import_image, region, std::move(image), std::move(answer));
  }
  void add_region(region_key region, region_image image, done answer) override {
    add_image(task::add_image, region, std::move(image), std::move(answer));
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
  using request = field_request;
  using task = field_request::task;

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
  void add_image(task what, region_key region, region_image image, done answer) {
    try {
      check_image(map_, region, image);
    } catch (const std::invalid_argument&) {
      return answer(std::current_exception());
    }
    add({what, region, std::move(answer), std::move(image)});
  }
  void add(request r) {
    ask([&] { line_.add(std::move(r)); });
  }
  template <class Add>
  void ask(Add add) {
    {
      const std::scoped_lock lock(mutex_);
      add();
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
      if (!line_.empty())
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
      if (!line_.empty() || !keyframes_.is_idle() || !line_.patient_first())
        return;
      seen = asked_.load(std::memory_order_relaxed);
    }
    const auto last = steady::now() + std::chrono::microseconds(200);
    while (hear_of_more(seen, std::min(last, steady::now() + std::chrono::microseconds(40))))
      seen = asked_.load(std::memory_order_acquire);
  }

  /// Backs off extractions that can wait, so that under load keyframes get most of the device's time however long meshing takes.
  void note_patient_batch(steady::time_point begun) {
    const std::scoped_lock lock(mutex_);
    const bool pressed = line_.size() > 1;
    line_.pause_patient(pressed ? 3 * (steady::now() - begun) : steady::duration{});
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
        const auto has_work = [&] { return stopping_ || !line_.empty() || !keyframes_.is_idle() || line_.patient_first(); };
        while (!has_work())
          if (line_.has_patient())
            work_.wait_until(lock, line_.patient_turn());
          else
            work_.wait(lock);
        if (stopping_)
          break;
        patient_first = line_.patient_first();
        seen = asked_.load(std::memory_order_relaxed);
        may_start = line_.empty() && keyframes_.has_room();
        if (line_.keyframe_is_next() && keyframes_.has_room() && !patient_first) {
          batch.push_back(line_.take_next());
          busy = !line_.empty();
          more = line_.meshed_keyframe_is_next();
        } else if (keyframes_.is_idle()) {
          batch = patient_first ? line_.take_patient() : line_.take_batch();
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
      return r.fail(failure);
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
    r.fail(failure);
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
          batch[0].fail(std::current_exception());
          return;
        }
      } catch (...) {
        failure = std::current_exception();
      }
    }
    if (failure) {
      for (request& r : batch)
        r.fail(failure);
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
      for (const region_key key : keys) {
        store_.drop(key);
        meshes_.forget(key);
      }
      answer_done(batch);
      break;
    case task::clear:
      store_.clear();
      meshes_.forget_all();
      answer_done(batch);
      break;
    case task::export_image:
      std::get<image_done>(batch[0].answer)(store_.image_of(keys[0]), nullptr);
      break;
    case task::import_image:
      store_.take_image(keys[0], batch[0].image, batches_);
      answer_done(batch);
      break;
    case task::add_image:
      store_.take_image(keys[0], sum_of(store_.image_of(keys[0]), batch[0].image), batches_);
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

  std::unique_ptr<Device> device_;
  map_settings map_;
  typename Device::stream stream_;
  region_store<Device> store_;
  stats_batch<Device> stats_;
  mesh_batch<Device> meshes_;
  copy_crew crew_;
  keyframe_batch<Device> keyframes_;
  ray_makers<Device> rays_;
  uint64_t batches_ = 0;
  bool keyframe_done_ = false;
  std::atomic<uint64_t> asked_{0};

  mutable std::mutex mutex_;
  std::condition_variable work_; ///< signalled when something is asked
  request_line line_;
  memory_status memory_;
  bool stopping_ = false;
  std::jthread thread_; ///< last: it uses all of the above
};

} // namespace tessera::cuda
