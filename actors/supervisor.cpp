#include "actors/supervisor.hpp"

#include "actors/instrumented.hpp"

#include <map>
#include <unordered_map>

namespace tessera {

namespace {

/// A supervisor that also tells itself to restart a region's mesher after a pause.
using supervisor_self = supervisor_setup::extend<caf::reacts_to<refill_atom, region_key, uint64_t>>;

/// A mesher that failed of itself, so soon after its start, fails for a reason that a restart may not cure.
constexpr std::chrono::seconds soon{1};

class supervisor final : public instrumented<supervisor_self> {
public:
  supervisor(caf::actor_config& cfg, actor_context context, core_actors core, supervisor_config config)
    : instrumented(cfg, std::move(context), {"supervisor"}), core_{std::move(core)}, config_{std::move(config)} {}

  void on_exit() override {
    for (auto& [region, running] : meshers_)
      send_exit(running.handle, caf::exit_reason::user_shutdown);
    for (auto& [region, waiting] : std::exchange(asked_, {}))
      for (auto& promise : waiting)
        promise.deliver(caf::make_error(ec::closing));
    meshers_.clear();
    regions_.clear();
    watched_.clear();
    core_ = {};
    partitioner_ = nullptr;
  }

  behavior_type make_behavior() override {
    set_down_handler([this](const caf::down_msg& down) { lost(down); });
    watch("placement", caf::actor_cast<caf::strong_actor_ptr>(core_.placement));
    watch("broadcaster", caf::actor_cast<caf::strong_actor_ptr>(core_.broadcaster));
    for (const auto& [role, handle] : std::exchange(core_.others, {}))
      watch(role, handle);
    return {
      [this](place_atom, region_key region) -> caf::result<mesher_actor> {
        if (auto i = meshers_.find(region); i != meshers_.end())
          return i->second.handle;
        auto promise = make_response_promise<caf::typed_response_promise<mesher_actor>>();
        auto& waiting = asked_[region];
        waiting.push_back(promise);
        if (waiting.size() == 1)
          place(region);
        return promise;
      },
      [this](kill_atom, region_key region) {
        auto i = meshers_.find(region);
        if (i == meshers_.end())
          return false;
        send_exit(i->second.handle, caf::exit_reason::kill);
        return true;
      },
      [this](caf::put_atom, const partitioner_actor& partitioner) { partitioner_ = partitioner; },
      [this](refill_atom, region_key region, uint64_t generation) {
        if (auto i = meshers_.find(region); i != meshers_.end() && i->second.generation == generation)
          restart(region);
      },
      [this](caf::monitor_atom, const std::string& role, const caf::strong_actor_ptr& handle) { watch(role, handle); },
    };
  }

private:
  struct child {
    mesher_actor handle{};
    device_actor device{};
    device_id id{};
    uint64_t generation = 0;
    uint32_t failures = 0; ///< in a row, each soon after a start
    caf::actor_clock::time_point started{};
  };

  void watch(const std::string& role, const caf::strong_actor_ptr& handle) {
    monitor(caf::actor_cast<caf::actor_addr>(handle));
    watched_[caf::actor_cast<caf::actor_addr>(handle)] = role;
  }

  void place(region_key region) {
    request(core_.placement, config_.request_timeout, place_atom::value, region)
      .then(
        [this, region](device_id id, const device_actor& device) {
          auto& fresh = start({{}, device, id}, region);
          for (auto& promise : take(region))
            promise.deliver(fresh.handle);
        },
        [this, region](caf::error& err) {
          record().set_error(describe(err));
          for (auto& promise : take(region))
            promise.deliver(err);
        });
  }

  std::vector<caf::typed_response_promise<mesher_actor>> take(region_key region) {
    auto i = asked_.find(region);
    if (i == asked_.end())
      return {};
    auto out = std::move(i->second);
    asked_.erase(i);
    return out;
  }

  child& start(child next, region_key region) {
    auto config = config_.meshers;
    config.region = region;
    config.device = next.id;
    config.generation = next.generation;
    next.handle = spawn_mesher(system(), shared(), next.device, core_.broadcaster, std::move(config));
    next.started = now();
    monitor(next.handle);
    regions_[next.handle.address()] = region;
    auto& place = meshers_[region] = std::move(next);
    record().set_detail("watches " + std::to_string(meshers_.size()) + " meshers and " + std::to_string(watched_.size())
                        + " other actors");
    return place;
  }

  void lost(const caf::down_msg& down) {
    if (auto i = regions_.find(down.source); i != regions_.end()) {
      const auto region = i->second;
      regions_.erase(i);
      return mourn(region, down.reason);
    }
    auto role = watched_.find(down.source);
    if (role == watched_.end())
      return;
    numbers().lost_core.fetch_add(1, std::memory_order_relaxed);
    record().set_error("the " + role->second + " ended: " + describe(down.reason));
    shared().write(severity::error, "the " + role->second + " ended (" + describe(down.reason) + "); the service must be started again");
    watched_.erase(role);
  }

  /// Starts a new mesher: at once if the old one was killed or had worked a while; after a pause that doubles if it keeps failing.
  void mourn(region_key region, const caf::error& reason) {
    auto& old = meshers_.at(region);
    numbers().restarts.fetch_add(1, std::memory_order_relaxed);
    const auto failed = reason != caf::exit_reason::kill && now() - old.started < soon;
    old.failures = failed ? old.failures + 1 : 0;
    const std::chrono::milliseconds pause{old.failures < 3 ? 0 : 50 << std::min(old.failures, 6u)};
    shared().write(severity::warning, "restarting the mesher of region " + std::to_string(region.x) + "," + std::to_string(region.y) + ","
                                        + std::to_string(region.z) + (pause.count() > 0 ? " in " + std::to_string(pause.count()) + " ms" : "")
                                        + ": " + describe(reason));
    if (pause.count() > 0)
      delayed_send(supervisor_self{this}, pause, refill_atom::value, region, old.generation);
    else
      restart(region);
  }

  /// Forgets what the dead mesher's field held, and has a new mesher filled from the live keyframes.
  void restart(region_key region) {
    const auto old = meshers_.at(region);
    send(old.device, drop_atom::value, region); // before any job of the new mesher: the device keeps a region's order
    auto& fresh = start({{}, old.device, old.id, old.generation + 1, old.failures}, region);
    if (partitioner_)
      send(partitioner_, refill_atom::value, region, fresh.handle);
  }

  core_actors core_;
  supervisor_config config_;
  partitioner_actor partitioner_;
  std::unordered_map<region_key, child> meshers_;
  std::unordered_map<region_key, std::vector<caf::typed_response_promise<mesher_actor>>> asked_;
  std::map<caf::actor_addr, region_key> regions_;
  std::map<caf::actor_addr, std::string> watched_;
};

} // namespace

supervisor_setup spawn_supervisor(caf::actor_system& system, actor_context context, core_actors core, supervisor_config config) {
  return system.spawn<supervisor>(std::move(context), std::move(core), std::move(config));
}

} // namespace tessera
