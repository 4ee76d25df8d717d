#include "net/commands/patient_source.hpp"

#include "net/base/backoff.hpp"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <unordered_set>
#include <utility>

namespace tessera {

namespace {

/// What is offered and not answered for good. Completions hold it: they may come when the source has ended.
struct unanswered {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::deque<map_input> again; ///< not taken: to be offered again
  size_t under_way = 0;
  std::unordered_set<keyframe_id> open; ///< of what is under way or to be offered again; of each one thing at a time
  bool taken = false;                   ///< something was, since the last pause
};

class patient_sink final : public keyframe_sink {
public:
  patient_sink(keyframe_sink& next, std::stop_token stop, const patience& pauses)
    : next_(next), stop_(std::move(stop)), pauses_(pauses.first, pauses.most) {}

  void offer(map_input what, completion done) override {
    offer_again();
    finish(id_of(what)); // what is about one keyframe keeps its order
    if (stop_.stop_requested())
      return done({outcome::not_now, "a stop is asked for"});
    hand_on(std::move(what), std::move(done));
  }
  /// Those of groups move no keyframe twice, so that all of it can be asked for again.
  void correct(correction what, completion done) override {
    finish(); // it may be about any of them
    struct answer {
      std::mutex mutex;
      std::condition_variable_any changed;
      std::optional<verdict> is;
    };
    while (!stop_.stop_requested()) {
      const auto its = std::make_shared<answer>();
      next_.correct(what, [its](const verdict& v) {
        const std::lock_guard lock(its->mutex);
        its->is = v;
        its->changed.notify_all();
      });
      std::unique_lock lock(its->mutex);
      if (!its->changed.wait(lock, stop_, [&] { return its->is.has_value(); }))
        break;
      if (its->is->what != outcome::not_now)
        return pauses_.reset(), done(*its->is);
      its->changed.wait_for(lock, stop_, pauses_.next(), [] { return false; });
    }
    done({outcome::not_now, "a stop is asked for"});
  }
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override {
    next_.set_aside(source, what, reason);
  }

  /// Waits until all is answered, and offers again what was not taken.
  void finish() {
    finish_if([&] { return !state_->open.empty(); });
  }

private:
  /// The same of what is about one keyframe.
  void finish(const keyframe_id& id) {
    finish_if([&] { return state_->open.contains(id); });
  }

  template <class F>
  void finish_if(F is_open) {
    while (!stop_.stop_requested()) {
      {
        std::unique_lock lock(state_->mutex);
        state_->changed.wait(lock, stop_, [&] { return !is_open() || !state_->again.empty(); });
        if (!is_open())
          return;
      }
      offer_again();
    }
  }

  void hand_on(map_input what, completion done) {
    {
      const std::lock_guard lock(state_->mutex);
      ++state_->under_way;
      state_->open.insert(id_of(what));
    }
    auto kept = what; // a keyframe's points are shared
    next_.offer(std::move(what), [state = state_, kept = std::move(kept), done = std::move(done)](const verdict& v) {
      {
        const std::lock_guard lock(state->mutex);
        --state->under_way;
        if (v.what == outcome::not_now) {
          state->again.push_back(kept);
        } else {
          state->taken = true;
          state->open.erase(id_of(kept));
        }
      }
      state->changed.notify_all();
      done(v);
    });
  }

  /// Offers what was not taken until nothing is left of it. Each round waits first.
  void offer_again() {
    for (;;) {
      std::deque<map_input> now;
      {
        std::unique_lock lock(state_->mutex);
        if (state_->again.empty() || stop_.stop_requested())
          return;
        if (std::exchange(state_->taken, false))
          pauses_.reset();
        state_->changed.wait_for(lock, stop_, pauses_.next(), [] { return false; });
        if (stop_.stop_requested())
          return;
        now = std::exchange(state_->again, {});
      }
      for (auto& one : now)
        hand_on(std::move(one), [](const verdict&) {});
      std::unique_lock lock(state_->mutex);
      state_->changed.wait(lock, stop_, [&] { return state_->under_way == 0; });
    }
  }

  keyframe_sink& next_;
  std::stop_token stop_;
  backoff pauses_;
  std::shared_ptr<unanswered> state_ = std::make_shared<unanswered>();
};

class patient_source final : public source {
public:
  patient_source(std::unique_ptr<source> inner, patience pauses) : inner_(std::move(inner)), pauses_(pauses) {}
  [[nodiscard]] std::string kind() const override { return inner_->kind(); }
  [[nodiscard]] std::string where() const override { return inner_->where(); }
  [[nodiscard]] std::optional<uint64_t> total() const override { return inner_->total(); }
  [[nodiscard]] bool brings_changes() const override { return inner_->brings_changes(); }
  [[nodiscard]] bool ids_repeat() const override { return inner_->ids_repeat(); }
  [[nodiscard]] std::string trouble() const override { return inner_->trouble(); }
  void run(keyframe_sink& sink, std::stop_token stop) override {
    patient_sink patient(sink, stop, pauses_);
    inner_->run(patient, stop);
    patient.finish();
  }

private:
  std::unique_ptr<source> inner_;
  patience pauses_;
};

} // namespace

std::unique_ptr<source> make_patient(std::unique_ptr<source> inner, patience pauses) {
  return std::make_unique<patient_source>(std::move(inner), pauses);
}

} // namespace tessera
