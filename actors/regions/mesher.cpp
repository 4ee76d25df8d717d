#include "actors/regions/mesher.hpp"

#include "actors/base/instrumented.hpp"
#include "actors/regions/mesh_digest.hpp"
#include "messages/clock.hpp"

#include <algorithm>
#include <optional>
#include <set>
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

/// Forms of a version that are known to have been made: fewer than the broadcaster keeps.
constexpr size_t most_made = 8;

/// Pause before a surface is encoded again that could not be.
constexpr std::chrono::seconds encode_pause{1};

/// A surface that was made so lately is what whoever wants one is given, even if there were changes since.
constexpr std::chrono::milliseconds new_surface{10};

/// A surface that nobody wants is kept for so long: whoever follows the map wants it at once, and need not wait for another.
constexpr std::chrono::milliseconds keep_surface{1000};

class mesher final : public instrumented<mesher_self> {
public:
  mesher(caf::actor_config& cfg, actor_context context, device_actor device, broadcaster_actor broadcaster, mesher_config config)
    : instrumented(cfg, std::move(context), {role::mesher, config.region, config.device, on_throw::die}), config_{std::move(
                                                                                                            config)},
      device_{std::move(device)}, broadcaster_{std::move(broadcaster)}, refilling_{config_.generation > 0 || config_.before},
      must_offer_{refilling_}, version_{config_.version}, encoded_{config_.version} {
    record().set_restarts(config_.generation);
    if (refilling_)
      record().set_detail("being refilled");
  }

  void on_exit() override {
    for (auto* all : {&askers_, &served_})
      for (auto& one : std::exchange(*all, {}))
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
        if (std::exchange(refilling_, begins) && !begins)
          dirty_ = true; // even if nothing was lost: viewers may still show what another mesher published
        step();
      },
      [this](caf::put_atom, const broadcaster_actor& broadcaster) {
        broadcaster_ = broadcaster;
        // It knows nothing of this region, and may tell a viewer that comes back that the region is gone, under the version
        // after the one the viewer holds; or a viewer holds what this process knows nothing of. What is published now must be
        // newer than that.
        config_.before.reset();
        encoded_ = version_ = next_version();
        must_offer_ = true;
        dirty_ = true;
        step();
      },
      [this](caf::delete_atom) { made_.clear(); },
      [this](leave_atom) {
        leaving_ = true;
        dirty_ = dirty_ || must_offer_;
        step();
      },
      [this](want_atom, uint64_t version, const patch_form& form) {
        if (version <= encoded_ && made_.contains(form))
          return; // it is on its way
        wanted_.insert(form);
        step();
      },
      [this](caf::tick_atom) {
        if (tick_at_ && now() >= *tick_at_)
          tick_at_.reset();
        forget_surface();
        step();
      },
      [this](caf::ok_atom, encoder_answer& answer) {
        encoding_ = false;
        if (!answer.failure)
          publish(answer.encoded);
        else
          not_encoded(answer.failure);
        step();
      },
    };
  }

private:
  /// What a surface shows.
  struct draft {
    uint64_t version;
    uint64_t keyframe_ns, received_ns; ///< of the newest keyframe that it shows
    uint64_t newest;                   ///< its number
  };

  /// Meshes the region if it has changed, and encodes its surface if that is wanted. The next surface is only made when this one
  /// is encoded, so that each mesher has one at most in the encoder pool, and patches keep their order; what changes meanwhile is
  /// in that one.
  void step() {
    if (busy_ || encoding_ || now() < resume_at_)
      return;
    if (leaving_ && dirty_) // it holds nothing: a keyframe that comes from now on is shown by the next mesher
      return end_with_nothing();
    const bool wanted = !wanted_.empty() && !refilling_;
    if (wanted && surface_
        && (!dirty_ || now() < surface_since_ + new_surface)) // else changes without end would keep it from viewers
      return encode();
    if (!refilling_ && ((dirty_ && may_extract()) || (wanted && !surface_)))
      return extract();
    if (wanted)
      return encode();
    if (!dirty_ && !refilling_)
      for (auto& one : std::exchange(askers_, {}))
        one.deliver(config_.shown->load());
    if (leaving_ && !dirty_)
      quit(caf::exit_reason::user_shutdown);
  }

  [[nodiscard]] bool may_extract() {
    if (!offered_once_)
      return true;
    const bool in_demand = !wanted_.empty() || must_offer_ || encoded_ == version_ || !askers_.empty();
    const auto due
      = last_patch_ + (in_demand ? config_.patch_interval : std::max(config_.patch_interval, config_.unwanted_interval));
    if (now() >= due)
      return true;
    tick(due - now());
    put_off(true);
    return false;
  }

  void put_off(bool is) {
    if (std::exchange(put_off_, is) != is)
      tell();
  }

  template <class Duration>
  void tick(Duration in) {
    const auto at = now() + in;
    if (tick_at_ && *tick_at_ <= at)
      return;
    tick_at_ = at;
    delayed_send(mesher_self{this}, std::chrono::duration_cast<std::chrono::nanoseconds>(in), caf::tick_atom::value);
  }

  void pause() {
    resume_at_ = now() + memory_pause;
    tick(memory_pause);
  }

  void extract() {
    busy_ = true;
    dirty_ = false;
    put_off(false);
    served_.insert(served_.end(), askers_.begin(), askers_.end());
    askers_.clear();
    // The surface may show more than this mesher was told of: then the times that it reports lag a little.
    const draft shows{version_, keyframe_ns_, received_ns_, newest_};
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
    put_off(false);
    extracted(nothing, {version_, keyframe_ns_, received_ns_, newest_});
  }

  /// Above all of this region's, and of earlier processes.
  [[nodiscard]] uint64_t next_version() {
    if (version_ < config_.version) // an earlier process told it: a viewer's base between the two is not in the history
      changes_ = std::make_shared<block_history>();
    return std::max(version_, config_.version) + 1;
  }

  /// The version of a surface that is another than the last.
  [[nodiscard]] uint64_t version_of(const mesh_digest& surface) {
    const auto before = std::exchange(config_.before, {});
    if (!before || before->digest != surface)
      return next_version();
    encoded_ = before->version - 1; // by this process it is not
    return before->version;
  }

  void extracted(region_mesh& fresh, draft shows) {
    busy_ = false;
    if (leaving_)
      fresh.surface = nullptr;
    else if (refilling_) { // what was extracted may be half a region
      dirty_ = true;
      askers_.insert(askers_.end(), served_.begin(), served_.end());
      served_.clear();
      return step();
    }
    if (!fresh.surface)
      fresh.surface = std::make_shared<const mesh>();
    const auto digest = digest_of(*fresh.surface);
    const auto empty = fresh.surface->triangles() == 0;
    if (must_offer_ || (digest != digest_ && !(empty && !offered_once_))) {
      shows.version = version_ = version_of(digest);
      digest_ = digest;
      offer(*fresh.surface, shows);
    }
    if (empty) {
      wanted_.clear();
    } else if (encoded_ < version_ || !wanted_.empty()) {
      surface_ = std::move(fresh.surface);
      surface_since_ = now();
      shows_ = shows;
      tick(keep_surface);
    }
    shown(shows.newest);
    for (auto& one : std::exchange(served_, {})) // all that they asked for is in it, whatever came meanwhile
      one.deliver(config_.shown->load());
    step();
  }

  /// A surface was made with it: what comes over the mesher from now on is not its fault, nor that of those before it.
  void shown(uint64_t newest) {
    if (newest > *config_.shown && newest <= newest_) // else it is from before they were numbered anew
      *config_.shown = newest;
  }

  void forget_surface() {
    if (!surface_)
      return;
    if (const auto until = surface_since_ + keep_surface; now() < until)
      tick(until - now());
    else
      surface_ = nullptr;
  }

  /// Tells what there is, for whoever wants it. That a region is empty needs no encoding.
  void offer(const mesh& surface, const draft& shows) {
    must_offer_ = false;
    offered_once_ = true;
    last_patch_ = now();
    patch out;
    out.region = config_.region;
    out.version = shows.version;
    out.keyframe_ns = shows.keyframe_ns;
    out.received_ns = shows.received_ns;
    out.vertices = static_cast<uint32_t>(surface.vertices());
    out.triangles = static_cast<uint32_t>(surface.triangles());
    vertices_ = out.vertices;
    triangles_ = out.triangles;
    if (config_.told && triangles_ > 0)
      config_.told->tell(config_.region, {version_, digest_});
    else if (config_.told)
      config_.told->erase(config_.region);
    if (triangles_ == 0) {
      patch_bytes_ = 0;
      encoded_ = version_;
      made_.clear();
      wanted_.clear();
      surface_ = nullptr;
    }
    tell();
    send(broadcaster_, patch_atom::value, std::move(out));
  }

  void encode() {
    const auto pool = config_.encoders.lock();
    if (!pool)
      return; // the service ends
    encoding_ = true;
    if (std::exchange(encoded_, shows_.version) != shows_.version)
      made_.clear();
    forms_.assign(wanted_.begin(), wanted_.end());
    if (made_.size() + wanted_.size() > most_made) // the broadcaster may forget those from before
      made_.clear();
    made_.merge(wanted_);
    wanted_.clear();
    pool->encode(
      {{config_.region, shows_.version, std::move(surface_)}, shows_.keyframe_ns, shows_.received_ns, forms_, changes_},
      [weak = caf::weak_actor_ptr{ctrl()}](patch encoded, std::exception_ptr failure) {
        if (const auto alive = weak.lock())
          caf::anon_send(caf::actor_cast<caf::actor>(alive), caf::ok_atom::value,
                         encoder_answer{std::move(encoded), std::move(failure)});
      });
  }

  void publish(patch& encoded) {
    if (shows_.received_ns != 0 && shows_.received_ns != timed_ns_) {
      timed_ns_ = shows_.received_ns;
      if (const auto at = system_ns(); at > shows_.received_ns)
        numbers().patch_time.record(at - shows_.received_ns);
    }
    encoded.region = config_.region;
    encoded.version = shows_.version;
    vertices_ = encoded.vertices; // the encoder may need fewer of both
    triangles_ = encoded.triangles;
    patch_bytes_ = encoded.frame ? encoded.frame->size() : encoded.cells.empty() ? 0 : encoded.cells.front().bytes->size();
    if (encoded.no_cells)
      made_.insert(patch_form{});
    tell();
    send(broadcaster_, patch_atom::value, std::move(encoded));
  }

  /// Tried again a little later, as somebody wants it; if there is a newer one, that is made at once.
  void not_encoded(const std::exception_ptr& failure) {
    note(failure, "a region's surface could not be encoded: ");
    for (const auto& form : forms_)
      made_.erase(form);
    if (made_.empty())
      encoded_ = shows_.version - 1;
    wanted_.insert(forms_.begin(), forms_.end());
    if (!dirty_) {
      resume_at_ = now() + encode_pause;
      tick(encode_pause);
    }
  }

  void tell() {
    record().set_detail(std::to_string(triangles_) + " triangles, " + std::to_string(patch_bytes_) + " bytes encoded, version "
                        + std::to_string(version_ - std::min(version_, config_.version)) + (refilling_ ? ", being refilled" : "")
                        + (put_off_ ? ", changed since" : ""));
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
  caf::actor_clock::time_point resume_at_{};            ///< after a pause
  std::optional<caf::actor_clock::time_point> tick_at_; ///< the next one
  bool put_off_ = false;                                ///< its changes are meshed later, as nobody waits
  bool leaving_ = false;                                ///< ends when nothing is left to do
  bool must_offer_ = false; ///< even if nothing changed: viewers may show what another mesher published
  bool offered_once_ = false;
  std::set<patch_form> wanted_;               ///< the newest surface is to be encoded in these
  std::vector<patch_form> forms_;             ///< in the pool
  std::set<patch_form> made_;                 ///< of version encoded_, or being made
  bool encoding_ = false;                     ///< what shows_ says is in the pool
  caf::actor_clock::time_point last_patch_{}; ///< that the broadcaster was told of

  uint64_t version_;                                          ///< of the newest surface
  uint64_t encoded_;                                          ///< the newest version that is encoded, or is being
  uint64_t newest_ = 0;                                       ///< keyframe in the region that it was told of
  std::vector<caf::typed_response_promise<uint64_t>> askers_; ///< for a surface of all that it was told of
  std::vector<caf::typed_response_promise<uint64_t>> served_; ///< for whom the one that is being extracted is
  mesh_digest digest_ = digest_of(mesh{});
  std::shared_ptr<const mesh> surface_; ///< the newest, for a while
  caf::actor_clock::time_point surface_since_{};
  std::shared_ptr<block_history> changes_ = std::make_shared<block_history>();
  draft shows_{};                              ///< what it shows
  uint64_t keyframe_ns_ = 0, received_ns_ = 0; ///< of the newest keyframe in the field
  uint64_t vertices_ = 0, triangles_ = 0;      ///< of the newest surface, and as it is sent once that is known
  uint64_t patch_bytes_ = 0;                   ///< of the newest patch
  uint64_t timed_ns_ = 0;                      ///< received_ns of the last patch that was timed
};

} // namespace

mesher_setup spawn_mesher(caf::actor_system& system, actor_context context, device_actor device, broadcaster_actor broadcaster,
                          mesher_config config) {
  return system.spawn<mesher>(std::move(context), std::move(device), std::move(broadcaster), std::move(config));
}

} // namespace tessera
