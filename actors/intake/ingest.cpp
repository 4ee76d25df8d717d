#include "actors/intake/ingest.hpp"

#include "actors/base/instrumented.hpp"
#include "actors/base/peer_loss.hpp"
#include "actors/intake/admission.hpp"
#include "actors/intake/input_queue.hpp"
#include "messages/clock.hpp"

#include <new>

namespace tessera {

namespace {

using verdict_promise = caf::typed_response_promise<verdict>;

class ingest final : public instrumented<ingest_setup> {
public:
  ingest(caf::actor_config& cfg, actor_context context, partitioner_actor partitioner, ingest_config config)
    : instrumented(cfg, std::move(context), {role::ingest}),
      partitioner_{std::move(partitioner)}, config_{config}, inputs_{std::max(1u, config.credit)} {
    config_.credit = std::max(1u, config_.credit);
    numbers().credit_limit.store(config_.credit, std::memory_order_relaxed);
  }

  void on_exit() override {
    // Those who asked give it to this actor's successor. If there is none, because the service ends, they know.
    for (auto& promise : inputs_.clear())
      promise.deliver(caf::make_error(ec::restarting, std::string{"ingest ended"}));
    partitioner_ = nullptr;
  }

  behavior_type make_behavior() override {
    return {
      [this](ingest_atom, map_input& what) -> caf::result<verdict> {
        if (auto fault = check_input(what, config_.limits))
          return refuse(id_of(what), *fault);
        if (auto* frame = std::get_if<keyframe>(&what)) {
          watch_identity(frame->world_from_camera);
          if (frame->received_ns == 0)
            frame->received_ns = system_ns();
        }
        return add(std::move(what));
      },
      [this](retract_atom, keyframe_selection& which) { return add(std::move(which)); },
      [this](revise_atom, correction& what) -> caf::result<verdict> {
        if (auto fault = check_correction(what))
          return refuse({"correction"}, *fault);
        return add(std::move(what));
      },
      [this](aside_atom, std::string& source, std::string& what, std::string& reason) {
        numbers().set_aside.add(std::move(source), std::move(what), std::move(reason));
      },
      [this](caf::put_atom, const partitioner_actor& successor) {
        partitioner_ = successor;
        inputs_.succeeded();
        run();
      },
    };
  }

private:
  verdict refuse(const keyframe_id& id, const keyframe_fault& fault) {
    numbers().count_refused(fault.why);
    numbers().set_aside.add("ingest", shown(id), fault.text);
    return {outcome::refused, fault.text};
  }

  void watch_identity(const pose& p) {
    ++seen_;
    if (p == pose{}) {
      numbers().identity_poses.fetch_add(1, std::memory_order_relaxed);
      ++identities_;
    }
    if (seen_ == 10 && identities_ == seen_) {
      const std::string text
        = "every pose so far is the identity: rays start at the world's origin, and the map will be wrong unless the "
          "camera never moves; check that the producer sends poses";
      shared().write(severity::warning, text);
      record().set_error(text);
    }
  }

  verdict_promise add(map_request what) {
    auto promise = make_response_promise<verdict_promise>();
    try {
      admit(what);
      inputs_.add(std::move(what), promise);
    } catch (...) {
      promise.deliver(numbers().count_not_now(hindered_by(std::current_exception())));
      return promise;
    }
    if (config_.policy == input_policy::newest)
      drop_oldest();
    run();
    return promise;
  }

  /// No more keyframes wait than may be under way.
  void drop_oldest() {
    while (auto promise = inputs_.drop_oldest(config_.credit)) {
      numbers().dropped.fetch_add(1, std::memory_order_relaxed);
      promise->deliver(verdict{outcome::dropped, "a newer keyframe came before there was time for this one"});
    }
  }

  void run() {
    while (const auto next = inputs_.next()) {
      try {
        ask_for(*next);
      } catch (...) { // no memory for the request, say: nobody would answer it
        if (auto promise = inputs_.forget(next->number))
          promise->deliver(numbers().count_not_now(hindered_by(std::current_exception())));
      }
    }
    numbers().under_way.store(static_cast<int64_t>(inputs_.under_way()), std::memory_order_relaxed);
    numbers().waiting.store(static_cast<int64_t>(inputs_.waiting()), std::memory_order_relaxed);
    record().set_detail(std::to_string(inputs_.under_way()) + " of " + std::to_string(config_.credit) + " under way, "
                        + std::to_string(inputs_.waiting()) + " waiting");
  }

  void ask_for(const input_queue<verdict_promise>::turn& next) {
    if (const auto* input = std::get_if<map_input>(&next.what))
      ask(next.number, config_.request_timeout, ingest_atom::value, *input);
    else if (const auto* which = std::get_if<keyframe_selection>(&next.what))
      ask(next.number, config_.batch_timeout, retract_atom::value, *which);
    else
      ask(next.number, config_.batch_timeout, revise_atom::value, std::get<correction>(next.what));
  }

  template <class Atom, class What>
  void ask(uint64_t number, std::chrono::milliseconds limit, Atom atom, const What& what) {
    const auto begin = cycle_clock::ticks();
    request(partitioner_, limit, atom, what)
      .then([this, number, begin](const verdict& v) { answered(number, begin, [&] { return v; }); },
            [this, number, begin, limit](caf::error& err) {
              if (!inputs_.awaits(number))
                return; // it was given to a successor
              if (is_peer_loss(err)) {
                inputs_.lost(); // until the supervisor tells of a successor, which gets it again
                record().set_error(describe(err));
                return;
              }
              answered(number, begin, [&] {
                record().set_error(describe(err));
                auto by = hindered_by(err);
                if (by.why == hindrance::slow)
                  by.text = "the map did not answer within " + std::to_string(limit.count() / 1000) + " s";
                return numbers().count_not_now(std::move(by));
              });
            });
  }

  /// `said` makes the verdict. If there is no memory for it, whoever asked is to ask again, and hears it then.
  template <class Said>
  void answered(uint64_t number, uint64_t begin, Said said) {
    verdict v{outcome::not_now, {}};
    try {
      v = said();
    } catch (const std::bad_alloc&) { // without words
    }
    auto promise = inputs_.answered(number, v);
    if (!promise)
      return;
    numbers().keyframe_time.record(cycle_clock::to_ns(cycle_clock::ticks() - begin));
    promise->deliver(std::move(v));
    run();
  }

  partitioner_actor partitioner_;
  ingest_config config_;
  input_queue<verdict_promise> inputs_; ///< on their way to the partitioner
  uint64_t seen_ = 0, identities_ = 0;
};

} // namespace

ingest_setup spawn_ingest(caf::actor_system& system, actor_context context, partitioner_actor partitioner, ingest_config config) {
  return system.spawn<ingest>(std::move(context), std::move(partitioner), config);
}

} // namespace tessera
