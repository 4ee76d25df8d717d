#include "actors/instrumented.hpp"
#include "actors/service.hpp"

#include <condition_variable>
#include <mutex>
#include <variant>

namespace tessera {

namespace {

const char* const closing_text = "the service is shutting down";

/// What the sink, its relay and everything under way share.
struct sink_state {
  std::mutex mutex;
  std::condition_variable changed;
  uint32_t credit = 0, under_way = 0;
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
  using content = std::variant<keyframe, sink_retraction, sink_revision>;

  sink_item(std::shared_ptr<sink_state> state, content offered, keyframe_sink::completion done)
    : what{std::move(offered)}, state_{std::move(state)}, done_{std::move(done)} {}
  sink_item(const sink_item&) = delete;
  sink_item& operator=(const sink_item&) = delete;
  ~sink_item() { complete({outcome::refused, closing_text}); }

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

using relay_actor = caf::typed_actor<caf::reacts_to<caf::put_atom, sink_item_ptr>>;

/// Asks ingest on behalf of threads that are no actors.
class sink_relay final : public instrumented<relay_actor> {
public:
  sink_relay(caf::actor_config& cfg, actor_context context, ingest_actor ingest, std::shared_ptr<sink_state> state)
    : instrumented(cfg, std::move(context), {"sink relay"}), ingest_{std::move(ingest)}, state_{std::move(state)} {}

  void on_exit() override {
    state_->close();
    ingest_ = nullptr;
  }

  behavior_type make_behavior() override {
    monitor(ingest_);
    set_down_handler([this](const caf::down_msg&) { state_->close(); });
    return {
      [this](caf::put_atom, const sink_item_ptr& item) {
        auto decided = [item](const verdict& v) { item->complete(v); };
        auto failed = [item](caf::error& err) {
          item->complete({outcome::refused, err == caf::sec::request_receiver_down || err == caf::exit_reason::user_shutdown
                                              ? std::string{closing_text}
                                              : describe(err)});
        };
        // Ingest's own limits bound the wait; this one only ends it if ingest is gone in a way that CAF does not tell.
        const auto longest = std::chrono::minutes{10};
        if (auto* frame = std::get_if<keyframe>(&item->what))
          request(ingest_, longest, ingest_atom::value, std::move(*frame)).then(decided, failed);
        else if (auto* gone = std::get_if<sink_retraction>(&item->what))
          request(ingest_, longest, retract_atom::value, std::move(gone->id)).then(decided, failed);
        else if (auto* moved = std::get_if<sink_revision>(&item->what))
          request(ingest_, longest, revise_atom::value, std::move(moved->id), moved->world_from_camera).then(decided, failed);
      },
    };
  }

private:
  ingest_actor ingest_;
  std::shared_ptr<sink_state> state_;
};

class actor_sink final : public ingest_sink {
public:
  actor_sink(caf::actor_system& system, const service& running, uint32_t credit) : ingest_{running.ingest} {
    state_->credit = std::max(1u, credit);
    relay_ = system.spawn<sink_relay>(running.context, running.ingest, state_);
  }

  ~actor_sink() override {
    state_->close();
    caf::anon_send_exit(relay_, caf::exit_reason::user_shutdown);
    relay_ = nullptr;
    ingest_ = nullptr;
    drain(std::chrono::seconds{5}); // completions may use what their owner destroys next
  }

  void offer(keyframe frame, completion done) override { add(std::move(frame), std::move(done)); }
  void retract(keyframe_id id, completion done) override { add(sink_retraction{std::move(id)}, std::move(done)); }
  void revise(keyframe_id id, pose world_from_camera, completion done) override {
    add(sink_revision{std::move(id), world_from_camera}, std::move(done));
  }

  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override {
    caf::anon_send(ingest_, aside_atom::value, source, what, reason);
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
        done({outcome::refused, closing_text});
      return;
    }
    caf::anon_send(relay_, caf::put_atom::value, std::make_shared<sink_item>(state_, std::move(what), std::move(done)));
  }

  std::shared_ptr<sink_state> state_ = std::make_shared<sink_state>();
  ingest_actor ingest_;
  relay_actor relay_;
};

} // namespace

std::unique_ptr<ingest_sink> make_ingest_sink(caf::actor_system& system, const service& running, uint32_t credit) {
  return std::make_unique<actor_sink>(system, running, credit);
}

} // namespace tessera
