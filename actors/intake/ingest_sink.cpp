#include "actors/base/instrumented.hpp"
#include "actors/base/peer_loss.hpp"
#include "actors/supervision/service.hpp"
#include "actors/supervision/supervisor.hpp"

#include <condition_variable>
#include <map>
#include <mutex>
#include <variant>

namespace tessera {

namespace {

const hindered closing{hindrance::closing, "the service is shutting down"};

/// What the sink, its relay and everything under way share.
struct sink_state {
  std::mutex mutex;
  std::condition_variable changed;
  uint32_t credit = 0, under_way = 0;
  std::shared_ptr<telemetry> numbers;
  bool closed = false;

  void close() {
    std::lock_guard lock{mutex};
    closed = true;
    changed.notify_all();
  }
};

struct sink_retraction {
  keyframe_id id;
};
struct sink_revision {
  keyframe_id id;
  pose world_from_camera;
};

/// Something that was offered. However it is lost, its completion is called, once.
class sink_item {
public:
  using content = std::variant<keyframe, sink_retraction, keyframe_selection, sink_revision>;

  sink_item(std::shared_ptr<sink_state> state, content offered, keyframe_sink::completion done)
    : what{std::move(offered)}, state_{std::move(state)}, done_{std::move(done)} {}
  sink_item(const sink_item&) = delete;
  sink_item& operator=(const sink_item&) = delete;
  ~sink_item() {
    if (!completed_)
      complete(state_->numbers->count_not_now(closing));
  }

  void complete(const verdict& v) {
    if (std::exchange(completed_, true))
      return;
    if (done_)
      done_(v);
    std::lock_guard lock{state_->mutex};
    --state_->under_way;
    state_->changed.notify_all();
  }

  content what;

private:
  std::shared_ptr<sink_state> state_;
  keyframe_sink::completion done_;
  bool completed_ = false;
};

using sink_item_ptr = std::shared_ptr<sink_item>;

} // namespace

} // namespace tessera

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::sink_item_ptr)

namespace tessera {

namespace {

using relay_actor = relay_setup::extend<caf::reacts_to<caf::put_atom, sink_item_ptr>>;

/// Asks ingest on behalf of threads that are no actors. What a dead ingest did not answer it gives to the successor, in the same
/// order.
class sink_relay final : public instrumented<relay_actor> {
public:
  sink_relay(caf::actor_config& cfg, actor_context context, ingest_actor ingest, std::shared_ptr<sink_state> state)
    : instrumented(cfg, std::move(context), {role::sink_relay}), ingest_{std::move(ingest)}, state_{std::move(state)} {}

  void on_exit() override {
    state_->close();
    items_.clear(); // completes them
    ingest_ = nullptr;
  }

  behavior_type make_behavior() override {
    monitor(ingest_);
    set_down_handler([this](const caf::down_msg& down) {
      if (down.source != ingest_.address())
        return;
      if (down.reason == caf::exit_reason::user_shutdown) {
        state_->close(); // the service ends
        ended_ = true;
        items_.clear();
      } else {
        orphaned_ = true; // until the supervisor tells of a successor
      }
    });
    return {
      [this](caf::put_atom, const sink_item_ptr& item) {
        if (!ended_) // else it was offered before this actor came to know of the end
          add({item, false});
      },
      [this](caf::put_atom, const ingest_actor& successor) {
        if (successor == ingest_)
          return;
        ingest_ = successor;
        monitor(ingest_);
        orphaned_ = false;
        for (auto& [number, one] : std::exchange(items_, {}))
          add({one.item, true});
      },
    };
  }

private:
  struct entry {
    sink_item_ptr item;
    bool again; ///< it was given to an ingest that died: what it asks for may have been done
  };

  void add(entry one) {
    const auto number = ++numbers_given_;
    const auto& what = items_.emplace(number, std::move(one)).first->second.item->what;
    if (orphaned_)
      return;
    auto decided = [this, number](const verdict& v) { answered(number, v); };
    auto failed = [this, number](caf::error& err) {
      if (!is_peer_loss(err)) // else a successor gets it, or the end of the sink completes it
        answered(number, numbers().count_not_now(hindered_by(err)));
    };
    // Ingest's own limits bound the wait; this one only ends it if ingest is gone in a way that CAF does not tell.
    const auto longest = std::holds_alternative<keyframe_selection>(what) ? std::chrono::minutes{120} : std::chrono::minutes{10};
    if (auto* frame = std::get_if<keyframe>(&what))
      request(ingest_, longest, ingest_atom::value, *frame).then(decided, failed);
    else if (auto* gone = std::get_if<sink_retraction>(&what))
      request(ingest_, longest, retract_atom::value, gone->id).then(decided, failed);
    else if (auto* many = std::get_if<keyframe_selection>(&what))
      request(ingest_, longest, retract_atom::value, *many).then(decided, failed);
    else if (auto* moved = std::get_if<sink_revision>(&what))
      request(ingest_, longest, revise_atom::value, moved->id, moved->world_from_camera).then(decided, failed);
  }

  void answered(uint64_t number, verdict v) {
    auto i = items_.find(number);
    if (i == items_.end())
      return; // it was given to a successor
    const auto [item, again] = std::move(i->second);
    items_.erase(i);
    if (again && v.what == outcome::unknown && std::holds_alternative<sink_retraction>(item->what))
      v = {}; // the dead ingest had it taken out
    item->complete(v);
  }

  ingest_actor ingest_;
  std::shared_ptr<sink_state> state_;
  std::map<uint64_t, entry> items_; ///< offered and not answered, in their order
  uint64_t numbers_given_ = 0;
  bool orphaned_ = false; ///< ingest is gone
  bool ended_ = false;    ///< and has no successor: what comes now is let go, which completes it
};

class actor_sink final : public ingest_sink {
public:
  actor_sink(caf::actor_system& system, const service& running, uint32_t credit) : ingest_{running.ingest} {
    state_->credit = std::max(1u, credit);
    state_->numbers = running.context.numbers;
    relay_ = system.spawn<sink_relay>(running.context, running.ingest.get(), state_);
    if (auto supervisor = running.supervisor.get())
      caf::anon_send(caf::actor_cast<supervisor_setup>(supervisor), caf::monitor_atom::value, std::string{role::sink_relay},
                     caf::actor_cast<caf::strong_actor_ptr>(relay_));
  }

  ~actor_sink() override {
    state_->close();
    caf::anon_send_exit(relay_, caf::exit_reason::user_shutdown);
    relay_ = nullptr;
    drain(std::chrono::seconds{5}); // completions may use what their owner destroys next
  }

  void offer(keyframe frame, completion done) override { add(std::move(frame), std::move(done)); }
  void retract(keyframe_id id, completion done) override { add(sink_retraction{std::move(id)}, std::move(done)); }
  void retract_all(keyframe_selection which, completion done) override { add(std::move(which), std::move(done)); }
  void revise(keyframe_id id, pose world_from_camera, completion done) override {
    add(sink_revision{std::move(id), world_from_camera}, std::move(done));
  }

  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override {
    caf::anon_send(ingest_.get(), aside_atom::value, source, what, reason);
  }

  void close() override { state_->close(); }

  bool drain(std::chrono::milliseconds timeout) override {
    std::unique_lock lock{state_->mutex};
    return state_->changed.wait_for(lock, timeout, [this] { return state_->under_way == 0; });
  }

private:
  void add(sink_item::content what, completion done) {
    bool closed = false;
    {
      std::unique_lock lock{state_->mutex};
      state_->changed.wait(lock, [this] { return state_->closed || state_->under_way < state_->credit; });
      closed = state_->closed;
      if (!closed)
        ++state_->under_way;
    }
    if (closed) {
      if (done)
        done(state_->numbers->count_not_now(closing));
      return;
    }
    caf::anon_send(relay_, caf::put_atom::value, std::make_shared<sink_item>(state_, std::move(what), std::move(done)));
  }

  std::shared_ptr<sink_state> state_ = std::make_shared<sink_state>();
  seat<ingest_actor> ingest_;
  relay_actor relay_;
};

} // namespace

std::unique_ptr<ingest_sink> make_ingest_sink(caf::actor_system& system, const service& running, uint32_t credit) {
  return std::make_unique<actor_sink>(system, running, credit);
}

} // namespace tessera
