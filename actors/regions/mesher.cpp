#include "actors/regions/mesher.hpp"

#include "actors/base/instrumented.hpp"
#include "actors/regions/mesh_digest.hpp"
#include "messages/clock.hpp"

#include <optional>
#include <utility>
#include <vector>

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

/// Pause before something is tried again for which there was no memory.
constexpr std::chrono::milliseconds memory_pause{100};

class mesher final : public instrumented<mesher_self> {
public:
  mesher(caf::actor_config& cfg, actor_context context, device_actor device, broadcaster_actor broadcaster, mesher_config config)
    : instrumented(cfg, std::move(context), {role::mesher, config.region, config.device, on_throw::die}),
      config_{std::move(config)}, device_{std::move(device)}, broadcaster_{std::move(broadcaster)},
      refilling_{config_.generation > 0}, must_publish_{config_.generation > 0}, version_{config_.version} {
    record().set_restarts(config_.generation);
    if (refilling_)
      record().set_detail("being refilled");
  }

  void on_exit() override {
    for (auto& one : std::exchange(askers_, {}))
      one.deliver(caf::make_error(ec::restarting, std::string{"the mesher ended"}));
    device_ = nullptr;
    broadcaster_ = nullptr;
    // Timeouts of the last answered requests would keep this actor in memory for minutes.
    home_system().clock().cancel_timeouts(this);
  }

  behavior_type make_behavior() override {
    return {
      [this](dirty_atom, uint64_t keyframe_ns, uint64_t received_ns, uint64_t newest) {
        newest_ = newest;
        if (keyframe_ns >= keyframe_ns_ && received_ns != 0) {
          keyframe_ns_ = keyframe_ns;
          received_ns_ = received_ns;
        }
        dirty_ = true;
        step();
      },
      [this](status_atom) {
        return region_status{config_.region, config_.device, version_, {}, vertices_, triangles_, patch_bytes_, keyframe_ns_};
      },
      [this](caf::flush_atom) {
        askers_.push_back(make_response_promise<caf::typed_response_promise<uint64_t>>());
        auto out = askers_.back();
        step();
        return out;
      },
      [this](refill_atom, bool begins) {
        if (begins) // the partitioner's successor has other numbers
          newest_ = *config_.shown = 0;
        refilling_ = begins;
        if (!begins)
          dirty_ = true; // even if nothing was lost: viewers may still show what another mesher published
        step();
      },
      [this](caf::put_atom, const broadcaster_actor& broadcaster) {
        broadcaster_ = broadcaster;
        // It knows nothing of this region. It may tell a viewer that comes back that the region is gone, under the version
        // after the one the viewer holds: what is published now must be newer than that.
        ++version_;
        must_publish_ = true;
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
        shown(encoding_->newest);
        encoding_.reset();
        step();
      },
    };
  }

private:
  /// A surface that is being encoded.
  struct draft {
    uint64_t version;
    uint64_t keyframe_ns, received_ns; ///< of the newest keyframe that it shows
    uint64_t newest;                   ///< its number
  };

  /// Meshes the region if it has changed. The next surface is only made when this one is encoded, so that each mesher has one at
  /// most in the encoder pool, and patches keep their order; what changes meanwhile is in that one.
  void step() {
    if (busy_ || paused_ || encoding_)
      return;
    if (leaving_ && dirty_) // it holds nothing: a keyframe that comes from now on is shown by the next mesher
      return end_with_nothing();
    if (dirty_ && !refilling_ && may_publish())
      return extract();
    if (!dirty_ && !refilling_)
      for (auto& one : std::exchange(askers_, {}))
        one.deliver(config_.shown->load());
    if (leaving_ && !dirty_)
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

  void extract() {
    busy_ = true;
    dirty_ = false;
    // The surface may show more than this mesher was told of: then the times that it reports lag a little.
    const draft shows{0, keyframe_ns_, received_ns_, newest_};
    request(device_, caf::infinite, extract_atom::value, config_.region)
      .then([this, shows](region_mesh& fresh) { extracted(fresh, shows); },
            [this](caf::error& err) {
              busy_ = false;
              if (!is_want_of_memory(err))
                return fail(err);
              dirty_ = true;
              pause();
            });
  }

  void end_with_nothing() {
    region_mesh nothing;
    dirty_ = false;
    extracted(nothing, {0, keyframe_ns_, received_ns_, newest_});
  }

  void extracted(region_mesh& fresh, draft shows) {
    busy_ = false;
    if (leaving_)
      fresh.surface = nullptr;
    else if (refilling_) { // what was extracted may be half a region
      dirty_ = true;
      return step();
    }
    if (!fresh.surface)
      fresh.surface = std::make_shared<const mesh>();
    const auto digest = digest_of(*fresh.surface);
    const auto empty = fresh.surface->triangles() == 0;
    if (must_publish_ || (digest != digest_ && !(empty && !published_once_))) {
      fresh.region = config_.region;
      shows.version = fresh.version = ++version_;
      digest_ = digest;
      must_publish_ = false;
      last_patch_ = now();
      encode(fresh, shows);
    } else {
      shown(shows.newest);
    }
    step();
  }

  /// A surface was made with it: what comes over the mesher from now on is not its fault, nor that of those before it.
  void shown(uint64_t newest) {
    if (newest > *config_.shown && newest <= newest_) // else it is from before they were numbered anew
      *config_.shown = newest;
  }

  void encode(const region_mesh& surface, const draft& shows) {
    const auto pool = config_.encoders.lock();
    if (!pool)
      return; // the service ends
    vertices_ = surface.surface->vertices();
    triangles_ = surface.surface->triangles();
    encoding_ = shows;
    pool->encode(surface, shows.keyframe_ns, shows.received_ns,
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
                        + "version " + std::to_string(version_ - config_.version) + (refilling_ ? ", being refilled" : ""));
    published_once_ = true;
    send(broadcaster_, patch_atom::value, std::move(encoded));
  }

  /// The region stays in the map; the next change tries again, or, if none is to come, the end of a pause.
  void not_encoded(const std::exception_ptr& failure) {
    note(failure, "a region's surface could not be encoded: ");
    must_publish_ = true;
    if (leaving_) {
      dirty_ = true;
      pause();
    }
  }

  /// The device gives nothing: end, and let the supervisor decide what is to be done.
  void fail(const caf::error& err) {
    record().set_error(describe(err));
    shared().write(severity::error, "mesher: " + describe(err));
    quit(err);
  }

  mesher_config config_;
  device_actor device_;
  broadcaster_actor broadcaster_;

  bool busy_ = false;  ///< the device meshes this region
  bool dirty_ = false; ///< the field changed since the last extraction
  bool refilling_ = false;
  bool paused_ = false; ///< until the next tick
  bool tick_set_ = false;
  bool leaving_ = false;      ///< ends when nothing is left to do
  bool must_publish_ = false; ///< even if nothing changed: viewers may show what another mesher published
  bool published_once_ = false;
  caf::actor_clock::time_point last_patch_{};

  uint64_t version_;                                          ///< of the newest surface
  uint64_t newest_ = 0;                                       ///< keyframe in the region that it was told of
  std::vector<caf::typed_response_promise<uint64_t>> askers_; ///< for a surface of all that it was told of
  mesh_digest digest_ = digest_of(mesh{});
  uint64_t keyframe_ns_ = 0, received_ns_ = 0; ///< of the newest keyframe in it
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
