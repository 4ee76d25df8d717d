#include "actors/intake/ingest.hpp"

#include "actors/base/instrumented.hpp"
#include "actors/base/peer_loss.hpp"
#include "messages/clock.hpp"

#include <deque>
#include <map>
#include <variant>

namespace tessera {

namespace {

using verdict_promise = caf::typed_response_promise<verdict>;

class ingest final : public instrumented<ingest_setup> {
public:
  ingest(caf::actor_config& cfg, actor_context context, partitioner_actor partitioner, ingest_config config)
    : instrumented(cfg, std::move(context), {role::ingest}), partitioner_{std::move(partitioner)}, config_{config} {
    config_.credit = std::max(1u, config_.credit);
    numbers().credit_limit.store(config_.credit, std::memory_order_relaxed);
  }

  void on_exit() override {
    // Those who asked give it to this actor's successor. If there is none, because the service ends, they know.
    const auto gone = caf::make_error(ec::restarting, std::string{"ingest ended"});
    for (auto& [number, e] : under_way_)
      e.promise.deliver(gone);
    under_way_.clear();
    for (auto& e : waiting_)
      e.promise.deliver(gone);
    waiting_.clear();
    partitioner_ = nullptr;
  }

  behavior_type make_behavior() override {
    return {
      [this](ingest_atom, keyframe& frame) -> caf::result<verdict> {
        if (auto fault = check_keyframe(frame, config_.limits))
          return refuse(frame.id, *fault);
        watch_identity(frame.world_from_camera);
        if (frame.received_ns == 0)
          frame.received_ns = system_ns();
        auto promise = make_response_promise<verdict_promise>();
        add(std::move(frame), promise);
        return promise;
      },
      [this](retract_atom, keyframe_id& id) -> caf::result<verdict> {
        if (auto fault = check_id(id))
          return refuse(id, *fault);
        auto promise = make_response_promise<verdict_promise>();
        add(retraction{std::move(id)}, promise);
        return promise;
      },
      [this](retract_atom, keyframe_selection& which) {
        auto promise = make_response_promise<verdict_promise>();
        add(std::move(which), promise);
        return promise;
      },
      [this](revise_atom, keyframe_id& id, const pose& world_from_camera) -> caf::result<verdict> {
        auto fault = check_id(id);
        if (!fault)
          fault = check_pose(world_from_camera);
        if (fault)
          return refuse(id, *fault);
        auto promise = make_response_promise<verdict_promise>();
        add(revision{std::move(id), world_from_camera}, promise);
        return promise;
      },
      [this](aside_atom, std::string& source, std::string& what, std::string& reason) {
        numbers().set_aside.add(std::move(source), std::move(what), std::move(reason));
      },
      [this](caf::put_atom, const partitioner_actor& successor) {
        partitioner_ = successor;
        orphaned_ = false;
        for (auto i = under_way_.rbegin(); i != under_way_.rend(); ++i) {
          i->second.again = true;
          waiting_.push_front(std::move(i->second)); // in the old order, before all that came later
        }
        under_way_.clear();
        run();
      },
    };
  }

private:
  struct retraction {
    keyframe_id id;
  };
  struct revision {
    keyframe_id id;
    pose world_from_camera;
  };
  using input = std::variant<keyframe, retraction, keyframe_selection, revision>;
  struct entry {
    input what;
    verdict_promise promise;
    bool again = false; ///< it was given to a partitioner that died: what it asks for may have been done
  };

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

  void add(input what, const verdict_promise& promise) {
    waiting_.push_back({std::move(what), promise, false});
    if (config_.policy == input_policy::newest)
      drop_oldest();
    run();
  }

  /// No more keyframes wait than may be under way; retractions and revisions are never let go.
  void drop_oldest() {
    size_t keyframes = 0;
    for (const auto& e : waiting_)
      keyframes += std::holds_alternative<keyframe>(e.what);
    for (auto i = waiting_.begin(); i != waiting_.end() && keyframes > config_.credit;) {
      if (!std::holds_alternative<keyframe>(i->what)) {
        ++i;
        continue;
      }
      numbers().dropped.fetch_add(1, std::memory_order_relaxed);
      i->promise.deliver(verdict{outcome::dropped, "a newer keyframe came before there was time for this one"});
      i = waiting_.erase(i);
      --keyframes;
    }
  }

  void run() {
    while (!waiting_.empty() && under_way_.size() < config_.credit && !orphaned_) {
      const auto number = ++numbers_given_;
      const auto& next = under_way_.emplace(number, std::move(waiting_.front())).first->second;
      waiting_.pop_front();
      const auto begin = cycle_clock::ticks();
      auto decided = [this, number, begin](const verdict& v) { answered(number, v, begin); };
      auto failed = [this, number, begin](caf::error& err) {
        if (!under_way_.contains(number))
          return; // it was given to a successor
        record().set_error(describe(err));
        if (is_peer_loss(err)) {
          orphaned_ = true; // until the supervisor tells of a successor, which gets it again
          return;
        }
        auto by = hindered_by(err);
        if (by.why == hindrance::slow) {
          const bool many = std::holds_alternative<keyframe_selection>(under_way_.at(number).what);
          const auto limit = many ? config_.clearing_timeout : config_.request_timeout;
          by.text = "the map did not answer within " + std::to_string(limit.count() / 1000) + " s";
        }
        answered(number, numbers().count_not_now(std::move(by)), begin);
      };
      if (auto* frame = std::get_if<keyframe>(&next.what))
        request(partitioner_, config_.request_timeout, integrate_atom::value, *frame).then(decided, failed);
      else if (auto* gone = std::get_if<retraction>(&next.what))
        request(partitioner_, config_.request_timeout, retract_atom::value, gone->id).then(decided, failed);
      else if (auto* many = std::get_if<keyframe_selection>(&next.what))
        request(partitioner_, config_.clearing_timeout, retract_atom::value, *many).then(decided, failed);
      else if (auto* moved = std::get_if<revision>(&next.what))
        request(partitioner_, config_.request_timeout, revise_atom::value, moved->id, moved->world_from_camera)
          .then(decided, failed);
    }
    numbers().under_way.store(static_cast<int64_t>(under_way_.size()), std::memory_order_relaxed);
    numbers().waiting.store(static_cast<int64_t>(waiting_.size()), std::memory_order_relaxed);
    record().set_detail(std::to_string(under_way_.size()) + " of " + std::to_string(config_.credit) + " under way, "
                        + std::to_string(waiting_.size()) + " waiting");
  }

  void answered(uint64_t number, verdict v, uint64_t begin) {
    auto i = under_way_.find(number);
    if (i == under_way_.end())
      return;
    if (i->second.again && v.what == outcome::unknown && std::holds_alternative<retraction>(i->second.what))
      v = {}; // the dead partitioner had taken it out
    auto promise = i->second.promise;
    under_way_.erase(i);
    numbers().keyframe_time.record(cycle_clock::to_ns(cycle_clock::ticks() - begin));
    promise.deliver(std::move(v));
    run();
  }

  partitioner_actor partitioner_;
  ingest_config config_;
  std::deque<entry> waiting_;
  std::map<uint64_t, entry> under_way_; ///< by number, in the order given; kept whole for the partitioner's successor
  bool orphaned_ = false;               ///< the partitioner is gone
  uint64_t numbers_given_ = 0, seen_ = 0, identities_ = 0;
};

} // namespace

ingest_setup spawn_ingest(caf::actor_system& system, actor_context context, partitioner_actor partitioner, ingest_config config) {
  return system.spawn<ingest>(std::move(context), std::move(partitioner), config);
}

} // namespace tessera
