#include "actors/viewers/session.hpp"

#include "actors/base/instrumented.hpp"
#include "actors/viewers/broadcaster.hpp"
#include "actors/viewers/catch_up.hpp"
#include "actors/viewers/token_bucket.hpp"
#include "messages/clock.hpp"

#include <unordered_map>

namespace tessera {

namespace {

/// tick: the stream may go on; update: it is time for statistics; ok: the next piece of what the viewer lacks; want: a look at
/// what is being encoded for it.
using session_self = joining_session::extend<caf::reacts_to<caf::tick_atom>, caf::reacts_to<caf::update_atom>,
                                             caf::reacts_to<caf::ok_atom>, caf::reacts_to<want_atom>>;

/// Between two pieces of what a viewer lacks: whatever else there is to do comes first, also if many viewers join at once.
constexpr std::chrono::milliseconds between_pieces{1};

/// So many patches are encoded ahead of the socket: enough for a few threads, few enough that what is sent is new.
constexpr size_t most_asked = 16;

/// A patch that takes longer makes room for others, for so long.
constexpr std::chrono::seconds longest_wait{1}, postponement{4};

/// About as many bytes become of a patch, and of each of its triangles: rather more.
constexpr uint64_t patch_bytes = 100, triangle_bytes = 3;

class session final : public instrumented<session_self> {
public:
  session(caf::actor_config& cfg, actor_context context, broadcaster_actor broadcaster, session_config config,
          socket_function socket)
    : instrumented(cfg, std::move(context), {role::session, {}, {}, on_throw::die}), broadcaster_{std::move(broadcaster)},
      config_{config}, socket_{std::move(socket)}, queue_{config.region_m}, window_{config.window_bytes} {}

  void on_exit() override {
    numbers().views.erase(id());
    if (joined_) {
      send(broadcaster_, leave_atom::value, session_actor{this});
      numbers().sessions.fetch_sub(1, std::memory_order_relaxed);
    }
    broadcaster_ = nullptr;
    socket_ = nullptr;
  }

  behavior_type make_behavior() override {
    monitor(broadcaster_);
    set_down_handler([this](const caf::down_msg& down) { quit(down.reason ? down.reason : caf::exit_reason::user_shutdown); });
    return {
      [this](patch_atom, const patch& newest) {
        if (is_new(newest))
          heard(newest);
        pump();
      },
      [this](board_picture& now) {
        if (now.epoch != wished_epoch_)
          have_.clear(); // of another run
        lacks_ = catch_up{std::move(now.patches), std::exchange(have_, {}), now.whole};
        encode_ = std::move(now.encode);
        go_on();
      },
      [this](caf::ok_atom) { go_on(); },
      [this](refill_atom, bool) {
        lacks_.end_waiting();
        for (const auto& [region, held] : std::exchange(unknown_, {}))
          queue_.put_gone(held);
        pump();
      },
      [this](camera_atom, const std::vector<camera>& changed) {
        for (const auto& c : changed)
          cameras_.put(c);
        pump();
      },
      [this](subscribe& wish) { start(wish); },
      [this](const view& from) {
        queue_.look(from);
        numbers().views.set(id(), from.position);
      },
      [this](const ack& seen) {
        queue_.acknowledge(seen);
        pump();
      },
      [this](const lost& by_viewer) {
        if (!joined_)
          return; // it has been sent nothing
        for (const auto& region : by_viewer.regions) {
          queue_.forget(region);
          if (asked_.contains(region))
            want(region); // in another form
        }
        send(broadcaster_, session_actor{this}, by_viewer);
      },
      [this](sent_atom) {
        in_flight_ = false;
        pump();
      },
      [this](caf::tick_atom) {
        tick_set_ = false;
        pump();
      },
      [this](want_atom) {
        watching_ = false;
        give_up_waiting();
        pump();
      },
      [this](caf::update_atom) {
        stats_due_ = true;
        delayed_send(session_self{this}, config_.stats_interval, caf::update_atom::value);
        pump();
      },
    };
  }

private:
  /// A patch that is to be sent next, and is being encoded.
  struct asking {
    patch offered;
    caf::actor_clock::time_point since;
  };

  void start(subscribe& wish) {
    const auto bytes_per_s = wish.max_bits_per_s / 8;
    bucket_ = token_bucket{wish.max_bits_per_s == 0 ? 0 : std::max<uint64_t>(1, bytes_per_s), now()};
    window_ = wish.max_bits_per_s == 0 ? config_.window_bytes : std::max<uint64_t>(1, bytes_per_s);
    if (joined_)
      return pump(); // a second subscribe only changes the rate
    joined_ = true;
    numbers().sessions.fetch_add(1, std::memory_order_relaxed);
    last_accepted_ = numbers().accepted.load(std::memory_order_relaxed);
    last_stats_ = now();
    have_ = std::move(wish.have);
    wished_epoch_ = wish.epoch;
    request(broadcaster_, config_.request_timeout, join_atom::value, session_actor{this}, subscribe{wish.epoch, {}, 0})
      .then([](const std::string&) {},
            [this](caf::error& err) {
              record().set_error(describe(err));
              quit(err);
            });
    send(session_self{this}, caf::update_atom::value);
  }

  /// Finds out more of what the viewer lacks.
  void go_on() {
    catch_up::doubts about;
    lacks_.step(queue_, about);
    for (const auto& held : about.unknown)
      unknown_.emplace(held.region, held);
    for (const auto& held : about.newer)
      renew(held);
    if (!lacks_.done())
      delayed_send(session_self{this}, between_pieces, caf::ok_atom::value);
    pump();
  }

  /// Whether a patch is not what the viewer came with: of a service that began anew it is not known before.
  bool is_new(const patch& newest) {
    auto held = lacks_.heard(newest.region);
    if (auto found = unknown_.extract(newest.region))
      held = found.mapped();
    if (!held)
      return true;
    if (newest.version < held->version) {
      renew(*held);
      return false;
    }
    queue_.hold(*held);
    return newest.version > held->version;
  }

  /// The viewer holds a version that an earlier process told in its last moments, and takes no older one.
  void renew(const held_patch& held) {
    send(caf::actor_cast<broadcaster_setup>(broadcaster_), caf::update_atom::value, held.region, held.version);
  }

  /// The patch that tells of a region that is gone.
  [[nodiscard]] patch emptied(const patch& gone) const {
    region_mesh empty;
    empty.region = gone.region;
    empty.version = gone.version;
    auto out = encode_(empty, 0, 0);
    out.region = gone.region;
    out.version = gone.version;
    out.vertices = out.triangles = 0;
    return out;
  }

  void heard(const patch& newest) {
    if (const auto late = postponed_.find(newest.region); late != postponed_.end()) {
      if (newest.triangles > 0 && !newest.in(form_of(newest.region))) {
        if (newest.version > late->second.offered.version)
          late->second.offered = newest;
        return;
      }
      postponed_.erase(late);
      return queue_.put(newest);
    }
    const auto i = asked_.find(newest.region);
    if (i == asked_.end())
      return queue_.put(newest);
    if (newest.version < i->second.offered.version)
      return;
    if (newest.triangles > 0 && !newest.in(form_of(newest.region))) {
      if (newest.version == i->second.offered.version)
        return;                   // for others
      i->second.offered = newest; // by a mesher that may not have been asked
      return want(newest.region);
    }
    asked_.erase(i);
    make_ready(newest);
  }

  [[nodiscard]] patch_form form_of(const region_key& region) const {
    return config_.cells ? patch_form{true, queue_.cells_of(region)} : patch_form{};
  }

  void want(const region_key& region) { send(broadcaster_, want_atom::value, session_actor{this}, region, form_of(region)); }

  /// With the frame that this viewer gets.
  void make_ready(patch one) {
    const auto frame = one.in(form_of(one.region));
    const bool cells = config_.cells && !one.no_cells;
    one.frame = one.triangles == 0 ? emptied(one).frame : frame;
    one.cells.clear();
    queue_.count(one, one.frame ? one.frame->size() : 0, cells);
    ready_.push_back(std::move(one));
  }

  /// Takes what is to be sent next, and has it encoded if nobody had yet: as little as keeps the socket busy, so that what is
  /// sent is new.
  void look_ahead() {
    const size_t most = bucket_.limited() ? 1 : most_asked;
    while (asked_.size() + ready_.size() < most && queue_.pending() > 0 && has_room() && !late()) {
      auto next = queue_.take();
      if (!next)
        return; // regions that were gone came back
      if (next->triangles == 0 || next->in(form_of(next->region))) {
        make_ready(std::move(*next));
        continue;
      }
      const auto region = next->region;
      asked_.insert_or_assign(region, asking{std::move(*next), now()});
      want(region);
      watch();
    }
  }

  /// Regions of which the viewer has not the newest patch.
  [[nodiscard]] size_t lacking() const { return queue_.pending() + asked_.size() + postponed_.size() + ready_.size(); }

  /// For another patch on its way: at least one may always be.
  [[nodiscard]] bool has_room() const {
    auto on_their_way = queue_.unacknowledged();
    for (const auto& [region, one] : asked_)
      on_their_way += patch_bytes + triangle_bytes * one.offered.triangles;
    return on_their_way == 0 || on_their_way < window_;
  }

  /// What is not encoded for a while, since its mesher died or its region is being filled again, makes room for others: it is
  /// asked for again later, also if it is most wanted.
  void give_up_waiting() {
    for (auto i = postponed_.begin(); i != postponed_.end();)
      if (now() - i->second.since >= postponement) {
        queue_.put(i->second.offered);
        i = postponed_.erase(i);
      } else {
        ++i;
      }
    for (auto i = asked_.begin(); i != asked_.end();)
      if (now() - i->second.since >= longest_wait) {
        i->second.since = now();
        postponed_.insert(*i);
        i = asked_.erase(i);
      } else {
        ++i;
      }
    watch();
  }

  void watch() {
    if (!(asked_.empty() && postponed_.empty()) && !std::exchange(watching_, true))
      delayed_send(session_self{this}, longest_wait, want_atom::value);
  }

  /// The bit rate allows nothing now; sees to it that it is looked at again when it does.
  [[nodiscard]] bool late() {
    const auto wait = bucket_.wait(now());
    if (wait <= wait.zero())
      return false;
    if (!std::exchange(tick_set_, true))
      delayed_send(session_self{this}, wait, caf::tick_atom::value);
    return true;
  }

  /// Puts the next frame on the socket, if it takes one: cameras and statistics first, they are small.
  void pump() {
    if (in_flight_ || !joined_)
      return;
    look_ahead(); // not before the socket takes more: who stalls is sent what is new then
    if (!cameras_.empty())
      return put(cameras_.take());
    if (stats_due_) {
      stats_due_ = false;
      return put(stats());
    }
    if (ready_.empty() || late())
      return;
    auto next = std::move(ready_.front());
    ready_.pop_front();
    const auto bytes = next.frame ? next.frame->size() : 0;
    bucket_.take(bytes);
    numbers().sent_patches.fetch_add(1, std::memory_order_relaxed);
    numbers().sent_bytes.fetch_add(bytes, std::memory_order_relaxed);
    put(std::move(next));
  }

  void put(session_output frame) {
    in_flight_ = true;
    socket_(std::move(frame));
  }

  session_stats stats() {
    record().set_detail(std::to_string(lacking()) + " regions to send, " + std::to_string(queue_.unacknowledged())
                        + " bytes unacknowledged");
    const auto& n = numbers();
    auto gauge
      = [](const telemetry::gauge& g) { return static_cast<uint64_t>(std::max<int64_t>(0, g.load(std::memory_order_relaxed))); };
    const auto accepted = n.accepted.load(std::memory_order_relaxed);
    const auto elapsed_s = std::chrono::duration<double>(now() - last_stats_).count();
    session_stats out;
    out.keyframes = gauge(n.live_keyframes);
    out.keyframes_per_s = elapsed_s > 0 ? static_cast<double>(accepted - last_accepted_) / elapsed_s : 0;
    out.regions = gauge(n.regions);
    out.triangles = gauge(n.triangles);
    out.viewers = gauge(n.sessions);
    out.pending = lacking();
    out.set_aside = n.set_aside.total();
    out.time_ns = system_ns();
    if (auto wanting = n.shortage.current())
      out.shortage = std::move(wanting->text);
    last_accepted_ = accepted;
    last_stats_ = now();
    return out;
  }

  broadcaster_actor broadcaster_;
  session_config config_;
  socket_function socket_;
  patch_queue queue_;
  std::map<region_key, asking> asked_;     ///< taken from the queue, and not encoded yet
  std::map<region_key, asking> postponed_; ///< was not encoded in time
  std::deque<patch> ready_;                ///< to be sent, in this order
  bool watching_ = false;                  ///< a look at what is asked for is due
  catch_up lacks_;
  std::vector<held_patch> have_;                       ///< until the broadcaster has told what there is
  std::unordered_map<region_key, held_patch> unknown_; ///< of the viewer's, regions that may come yet
  std::string wished_epoch_;
  encoder_function encode_;
  token_bucket bucket_;
  uint64_t window_;
  /// Cameras that came or went since the last frame of them.
  camera_list cameras_{2 * patch_board::max_cameras};
  bool joined_ = false, in_flight_ = false, tick_set_ = false, stats_due_ = false;
  uint64_t last_accepted_ = 0;
  caf::actor_clock::time_point last_stats_{};
};

} // namespace

session_actor spawn_session(caf::actor_system& system, actor_context context, const broadcaster_actor& broadcaster,
                            session_config config, socket_function socket) {
  return system.spawn<session>(std::move(context), broadcaster, config, std::move(socket));
}

} // namespace tessera
