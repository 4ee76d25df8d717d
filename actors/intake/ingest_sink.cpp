#include "actors/base/instrumented.hpp"
#include "actors/base/peer_loss.hpp"
#include "actors/intake/admission.hpp"
#include "actors/intake/input_queue.hpp"
#include "actors/supervision/service.hpp"
#include "actors/supervision/supervisor.hpp"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <new>

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
  void give_credit_back() {
    std::lock_guard lock{mutex};
    --under_way;
    changed.notify_all();
  }
  /// Counts what hinders, and answers it; without words if there is no memory for any.
  template <class Why>
  [[nodiscard]] verdict not_now(Why why) const noexcept {
    try {
      return numbers->count_not_now(why());
    } catch (...) {
      return {outcome::not_now, {}};
    }
  }
};

/// Something that was offered, and has credit. However it is lost, its completion is called and its credit given back, once.
///
/// Threads: any.
class sink_item {
public:
  sink_item(const std::shared_ptr<sink_state>& state, map_request&& offered, keyframe_sink::completion&& done) noexcept
    : what{std::move(offered)}, state_{state}, done_{std::move(done)} {}
  sink_item(const sink_item&) = delete;
  sink_item& operator=(const sink_item&) = delete;
  ~sink_item() {
    try {
      hinder([] { return closing; });
    } catch (...) { // of the completion: nobody is left who could be told
      state_->numbers->handler_errors.fetch_add(1, std::memory_order_relaxed);
    }
  }

  /// Throws what the completion throws.
  void complete(const verdict& v) {
    if (completed_.exchange(true))
      return;
    const struct at_the_end {
      sink_state& state;
      ~at_the_end() { state.give_credit_back(); }
    } then{*state_};
    if (done_)
      done_(v);
  }

  /// It cannot be taken now; `why` makes the reason.
  template <class Why>
  void hinder(Why why) {
    if (!completed_)
      complete(state_->not_now(why));
  }

  map_request what;

private:
  std::shared_ptr<sink_state> state_;
  keyframe_sink::completion done_;
  std::atomic<bool> completed_ = false;
};

using sink_item_ptr = std::shared_ptr<sink_item>;

} // namespace

} // namespace tessera

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::sink_item_ptr)

namespace tessera {

namespace {

using relay_actor = relay_setup::extend<caf::reacts_to<caf::put_atom, sink_item_ptr>>;

/// Asks ingest on behalf of threads that are no actors.
class sink_relay final : public instrumented<relay_actor> {
public:
  sink_relay(caf::actor_config& cfg, actor_context context, ingest_actor ingest, std::shared_ptr<sink_state> state)
    : instrumented(cfg, std::move(context), {role::sink_relay}), ingest_{std::move(ingest)}, state_{std::move(state)} {}

  void on_exit() override {
    state_->close();
    inputs_.clear(); // completes them
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
        inputs_.clear();
      } else {
        inputs_.lost(); // until the supervisor tells of a successor
      }
    });
    return {
      [this](caf::put_atom, const sink_item_ptr& item) {
        if (ended_)
          return; // it was offered before this actor came to know of the end; letting go completes it
        try {
          inputs_.add(std::move(item->what), item);
        } catch (...) {
          return item->hinder([] { return hindered_by(std::current_exception()); });
        }
        run();
      },
      [this](caf::put_atom, const ingest_actor& successor) {
        if (successor == ingest_)
          return;
        ingest_ = successor;
        monitor(ingest_);
        inputs_.succeeded();
        run();
      },
    };
  }

private:
  void run() {
    while (const auto next = inputs_.next()) {
      try {
        ask_for(*next);
      } catch (...) { // no memory for the request, say: nobody would answer it
        if (const auto item = inputs_.forget(next->number))
          (*item)->hinder([] { return hindered_by(std::current_exception()); });
      }
    }
  }

  void ask_for(const input_queue<sink_item_ptr>::turn& next) {
    // Ingest's own limits bound the wait; these only end it if ingest is gone in a way that CAF does not tell.
    if (const auto* input = std::get_if<map_input>(&next.what))
      ask(next.number, std::chrono::minutes{10}, ingest_atom::value, *input);
    else if (const auto* which = std::get_if<keyframe_selection>(&next.what))
      ask(next.number, std::chrono::minutes{120}, retract_atom::value, *which);
    else
      ask(next.number, std::chrono::minutes{120}, revise_atom::value, std::get<correction>(next.what));
  }

  template <class Atom, class What>
  void ask(uint64_t number, std::chrono::minutes longest, Atom atom, const What& what) {
    request(ingest_, longest, atom, what)
      .then([this, number](const verdict& v) { answered(number, [&] { return v; }); },
            [this, number](caf::error& err) {
              if (!is_peer_loss(err)) // else a successor gets it, or the end of the sink completes it
                answered(number, [&] { return numbers().count_not_now(hindered_by(err)); });
            });
  }

  /// `said` makes the verdict. If there is no memory for it, whoever offered is to ask again, and hears it then.
  template <class Said>
  void answered(uint64_t number, Said said) {
    verdict v{outcome::not_now, {}};
    try {
      v = said();
    } catch (const std::bad_alloc&) { // without words
    }
    if (const auto item = inputs_.answered(number, v))
      (*item)->complete(v);
  }

  ingest_actor ingest_;
  std::shared_ptr<sink_state> state_;
  input_queue<sink_item_ptr> inputs_; ///< on their way to ingest
  bool ended_ = false;                ///< ingest is gone, and has no successor
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

  void offer(map_input what, completion done) override { add(std::move(what), std::move(done)); }
  void retract_all(keyframe_selection which, completion done) override { add(std::move(which), std::move(done)); }
  void correct(correction what, completion done) override { add(std::move(what), std::move(done)); }

  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override {
    caf::anon_send(ingest_.get(), aside_atom::value, source, what, reason);
  }

  void close() override { state_->close(); }

  bool drain(std::chrono::milliseconds timeout) override {
    std::unique_lock lock{state_->mutex};
    return state_->changed.wait_for(lock, timeout, [this] { return state_->under_way == 0; });
  }

private:
  void add(map_request what, completion done) {
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
        done(state_->not_now([] { return closing; }));
      return;
    }
    admit(what); // here, so that it holds whoever has successors
    const auto no_memory = [] { return hindered_by(std::current_exception()); };
    sink_item_ptr item;
    try {
      item = std::make_shared<sink_item>(state_, std::move(what), std::move(done)); // takes them when it has its memory
    } catch (...) {
      state_->give_credit_back();
      if (done)
        done(state_->not_now(no_memory));
      return;
    }
    try {
      caf::anon_send(relay_, caf::put_atom::value, item);
    } catch (...) {
      item->hinder(no_memory);
    }
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
