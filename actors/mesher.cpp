#include "actors/mesher.hpp"

#include "actors/instrumented.hpp"
#include "actors/mesh_digest.hpp"

#include <deque>
#include <optional>

namespace tessera::detail {

/// What became of a surface. Made in a thread of the encoder pool; stays in the process.
struct encoder_answer {
  patch encoded;
  std::exception_ptr failure;
};

} // namespace tessera::detail

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::detail::encoder_answer)

namespace tessera {

namespace {

using detail::encoder_answer;

/// A mesher as its clock and the encoder pool see it.
using mesher_self = mesher_setup::extend<caf::reacts_to<caf::tick_atom>, caf::reacts_to<caf::ok_atom, encoder_answer>>;
using job_promise = caf::typed_response_promise<void>;

/// Pause before something is tried again for which there was no memory.
constexpr std::chrono::milliseconds memory_pause{100};

uint64_t system_ns() {
  return static_cast<uint64_t>(
    std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count());
}

class mesher final : public instrumented<mesher_self> {
public:
  mesher(caf::actor_config& cfg, actor_context context, device_actor device, broadcaster_actor broadcaster, mesher_config config)
    : instrumented(cfg, std::move(context), {"mesher", config.region, config.device, on_throw::die}), config_{std::move(config)},
      device_{std::move(device)}, broadcaster_{std::move(broadcaster)}, refilling_{config_.generation > 0},
      must_publish_{config_.generation > 0}, version_{config_.version} {
    record().set_restarts(config_.generation);
    if (refilling_)
      record().set_detail("being refilled");
  }

  void on_exit() override {
    // Promises hold this actor alive; their askers learn of its end from the supervisor.
    queue_.clear();
    under_way_.clear();
    status_waiters_.clear();
    mesh_waiters_.clear();
    device_ = nullptr;
    broadcaster_ = nullptr;
    // Those of the last answered requests would keep it in memory for minutes.
    home_system().clock().cancel_timeouts(this);
  }

  behavior_type make_behavior() override {
    return {
      [this](integrate_atom, ray_job& job) {
        auto promise = make_response_promise<job_promise>();
        queue_.push_back({std::move(job), static_cast<caf::response_promise&>(promise), false});
        ++received_;
        step();
        return promise;
      },
      [this](status_atom) {
        auto promise = make_response_promise<caf::typed_response_promise<region_status>>();
        status_waiters_.push_back({promise, received_});
        step();
        return promise;
      },
      [this](mesh_atom) {
        auto promise = make_response_promise<caf::typed_response_promise<region_mesh>>();
        mesh_waiters_.push_back({promise, received_});
        step();
        return promise;
      },
      [this](refill_atom, bool begins) {
        refilling_ = begins;
        if (!begins)
          dirty_ = true; // even if nothing was left to refill: viewers may still show what the region was
        if (dirty_)
          dirty_since_ = now();
        step();
      },
      [this](caf::put_atom, const broadcaster_actor& broadcaster) {
        broadcaster_ = broadcaster;
        // It knows nothing of this region. It may tell a viewer who comes back that the region he holds is gone, under the
        // version after the last: what is published now must be newer than that.
        ++version_;
        must_publish_ = true;
        if (!dirty_)
          dirty_since_ = now();
        dirty_ = true;
        step();
      },
      [this](leave_atom) {
        leaving_ = true;
        dirty_ = dirty_ || must_publish_;
        step();
      },
      [this](caf::tick_atom) {
        tick_set_ = false;
        paused_ = false;
        step();
      },
      [this](caf::ok_atom, encoder_answer& answer) {
        if (!answer.failure)
          publish(answer.encoded);
        else
          not_encoded(answer.failure);
        encoding_.reset();
        step();
      },
    };
  }

private:
  struct queued_job {
    ray_job job;
    caf::response_promise promise; // a typed one of void cannot deliver
    bool alone;                    ///< its batch did not fit into memory: try it by itself
  };

  template <class T>
  struct waiter {
    caf::typed_response_promise<T> promise;
    uint64_t after; ///< how many jobs must have been answered before
  };

  /// A surface that is being encoded.
  struct draft {
    uint64_t version;
    uint64_t keyframe_ns, received_ns; ///< of the newest keyframe that it shows
  };

  /// Starts the next piece of work of the device, if none is under way. Jobs go on while a surface is encoded; the next surface
  /// is only made when that is done, so that each mesher has one at most in the encoder pool, and patches keep their order.
  void step() {
    if (busy_ || paused_)
      return;
    if (!status_waiters_.empty() && status_waiters_.front().after <= answered_)
      return ask_status();
    const auto publishable = dirty_ && !refilling_ && !encoding_ && may_publish();
    const auto stale = publishable && now() - dirty_since_ >= config_.max_staleness;
    const auto mesh_wanted = !mesh_waiters_.empty() && !encoding_ && mesh_waiters_.front().after <= answered_;
    if (!queue_.empty() && !stale && !mesh_wanted)
      return integrate();
    if (publishable || mesh_wanted)
      return extract();
    if (!queue_.empty())
      return integrate();
    if (leaving_ && !dirty_ && !encoding_ && mesh_waiters_.empty() && status_waiters_.empty())
      quit(caf::exit_reason::user_shutdown);
  }

  [[nodiscard]] bool may_publish() {
    if (config_.patch_interval.count() == 0 || !published_once_)
      return true;
    const auto due = last_patch_ + config_.patch_interval;
    if (now() >= due)
      return true;
    tick(due - now());
    return false;
  }

  template <class Duration>
  void tick(Duration in) {
    if (tick_set_)
      return;
    tick_set_ = true;
    delayed_send(mesher_self{this}, std::chrono::duration_cast<std::chrono::nanoseconds>(in), caf::tick_atom::value);
  }

  void pause() {
    paused_ = true;
    tick_set_ = false;
    tick(memory_pause);
  }

  void integrate() {
    const auto count = queue_.front().alone ? 1 : queue_.size();
    std::vector<ray_job> jobs;
    jobs.reserve(count);
    for (size_t i = 0; i < count; ++i) {
      jobs.push_back(queue_.front().job);
      under_way_.push_back(std::move(queue_.front()));
      queue_.pop_front();
    }
    busy_ = true;
    request(device_, config_.request_timeout, integrate_atom::value, config_.region, std::move(jobs))
      .then([this] { applied(); }, [this](caf::error& err) { not_applied(err); });
  }

  void applied() {
    busy_ = false;
    if (!dirty_)
      dirty_since_ = now();
    dirty_ = true;
    for (auto& item : under_way_) {
      if (item.job.keyframe_ns >= keyframe_ns_ && item.job.received_ns != 0) {
        keyframe_ns_ = item.job.keyframe_ns;
        received_ns_ = item.job.received_ns;
      }
      keyframes_ += item.job.sign;
      item.promise.deliver(caf::unit);
    }
    answered_ += under_way_.size();
    under_way_.clear();
    if (keyframes_ == 0) // all zero again: its memory is for others. What is asked from now on comes after this
      send(device_, drop_atom::value, config_.region);
    step();
  }

  void not_applied(const caf::error& err) {
    busy_ = false;
    if (err != ec::out_of_memory)
      return fail(err);
    if (under_way_.size() == 1 && under_way_.front().job.sign > 0) {
      under_way_.front().promise.deliver(err); // the partitioner takes the keyframe out of the other regions again
      ++answered_;
      under_way_.clear();
      return step();
    }
    // Several at once: find out which of them fit. A retraction is never refused, only tried again.
    if (under_way_.size() == 1)
      pause();
    for (auto i = under_way_.rbegin(); i != under_way_.rend(); ++i) {
      i->alone = true;
      queue_.push_front(std::move(*i));
    }
    under_way_.clear();
    step();
  }

  void ask_status() {
    busy_ = true;
    request(device_, config_.request_timeout, status_atom::value, config_.region)
      .then(
        [this](const field_stats& field) {
          busy_ = false;
          region_status status{config_.region, config_.device, version_,     field,
                               vertices_,      triangles_,     patch_bytes_, keyframe_ns_};
          answer(status_waiters_, answered_, status);
          step();
        },
        [this](caf::error& err) { fail(err); });
  }

  void extract() {
    busy_ = true;
    const auto was_dirty = std::exchange(dirty_, false);
    const auto at = answered_;
    request(device_, config_.request_timeout, extract_atom::value, config_.region)
      .then([this, at, was_dirty](region_mesh& fresh) { extracted(fresh, at, was_dirty); },
            [this](caf::error& err) {
              busy_ = false;
              if (err != ec::out_of_memory)
                return fail(err);
              dirty_ = true;
              pause();
            });
  }

  void extracted(region_mesh& fresh, uint64_t at, bool was_dirty) {
    busy_ = false;
    if (!fresh.surface)
      fresh.surface = std::make_shared<const mesh>();
    const auto digest = digest_of(*fresh.surface);
    const auto empty = fresh.surface->triangles() == 0;
    const auto changed = must_publish_ || (digest != digest_ && !(empty && !published_once_));
    const auto publishes = was_dirty && !refilling_ && changed;
    if (was_dirty && refilling_)
      dirty_ = true;
    if (publishes)
      ++version_;
    fresh.region = config_.region;
    fresh.version = version_;
    answer(mesh_waiters_, at, fresh);
    if (publishes) {
      digest_ = digest;
      must_publish_ = false;
      last_patch_ = now();
      encode(fresh);
    }
    step();
  }

  /// Has the surface encoded that was just extracted: no job was applied since.
  void encode(const region_mesh& surface) {
    const auto pool = config_.encoders.lock();
    if (!pool)
      return; // the service ends
    vertices_ = surface.surface->vertices();
    triangles_ = surface.surface->triangles();
    encoding_ = draft{surface.version, keyframe_ns_, received_ns_};
    pool->encode(surface, keyframe_ns_, received_ns_,
                 [weak = caf::weak_actor_ptr{ctrl()}](patch encoded, std::exception_ptr failure) {
                   if (const auto alive = weak.lock())
                     caf::anon_send(caf::actor_cast<caf::actor>(alive), caf::ok_atom::value,
                                    encoder_answer{std::move(encoded), std::move(failure)});
                 });
  }

  void publish(patch& encoded) {
    const auto& from = *encoding_;
    if (from.received_ns != 0 && from.received_ns != timed_ns_) {
      timed_ns_ = from.received_ns;
      if (const auto at = system_ns(); at > from.received_ns)
        numbers().patch_time.record(at - from.received_ns);
    }
    encoded.region = config_.region;
    encoded.version = from.version;
    vertices_ = encoded.vertices; // the encoder may need fewer of both
    triangles_ = encoded.triangles;
    patch_bytes_ = encoded.frame ? encoded.frame->size() : 0;
    record().set_detail(std::to_string(triangles_) + " triangles, " + std::to_string(patch_bytes_) + " bytes encoded, "
                        + std::to_string(answered_) + " jobs done" + (refilling_ ? ", being refilled" : ""));
    published_once_ = true;
    send(broadcaster_, patch_atom::value, std::move(encoded));
  }

  /// The region stays in the map; the next change tries again. If there will be none, a pause does.
  void not_encoded(const std::exception_ptr& failure) {
    note(failure, "a region's surface could not be encoded: ");
    must_publish_ = true;
    if (leaving_) {
      dirty_ = true;
      pause();
    }
  }

  template <class T>
  static void answer(std::deque<waiter<T>>& waiters, uint64_t answered, const T& value) {
    while (!waiters.empty() && waiters.front().after <= answered) {
      waiters.front().promise.deliver(value);
      waiters.pop_front();
    }
  }

  /// The field is in an unknown state: end, and let the supervisor drop and refill it.
  void fail(const caf::error& err) {
    record().set_error(describe(err));
    shared().write(severity::error, "mesher: " + describe(err));
    quit(err);
  }

  mesher_config config_;
  device_actor device_;
  broadcaster_actor broadcaster_;

  std::deque<queued_job> queue_;
  std::vector<queued_job> under_way_;
  std::deque<waiter<region_status>> status_waiters_;
  std::deque<waiter<region_mesh>> mesh_waiters_;
  uint64_t received_ = 0, answered_ = 0;
  int64_t keyframes_ = 0; ///< in the region's field

  bool busy_ = false;  ///< the device works for this region
  bool dirty_ = false; ///< the field changed since the last extraction
  bool refilling_ = false;
  bool paused_ = false; ///< until the next tick
  bool tick_set_ = false;
  bool leaving_ = false;      ///< ends when nothing is left to do
  bool must_publish_ = false; ///< even if nothing changed: viewers may show what another mesher published
  bool published_once_ = false;
  caf::actor_clock::time_point dirty_since_{}, last_patch_{};

  uint64_t version_; ///< of the newest surface
  mesh_digest digest_ = digest_of(mesh{});
  uint64_t keyframe_ns_ = 0, received_ns_ = 0; ///< of the newest keyframe that was applied
  std::optional<draft> encoding_;
  uint64_t vertices_ = 0, triangles_ = 0; ///< of the newest surface, and as it is sent once that is known
  uint64_t patch_bytes_ = 0;              ///< of the newest patch
  uint64_t timed_ns_ = 0;                 ///< received_ns of the last patch that was timed
};

} // namespace

mesher_setup spawn_mesher(caf::actor_system& system, actor_context context, device_actor device, broadcaster_actor broadcaster,
                          mesher_config config) {
  return system.spawn<mesher>(std::move(context), std::move(device), std::move(broadcaster), std::move(config));
}

} // namespace tessera
