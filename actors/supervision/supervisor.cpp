#include "actors/supervision/supervisor.hpp"

#include "actors/base/instrumented.hpp"
#include "actors/base/peer_loss.hpp"

#include <algorithm>
#include <optional>
#include <unordered_map>

namespace tessera {

namespace {

/// A supervisor that also tells itself to restart a region's mesher, the one of this number, after a pause.
using supervisor_self = supervisor_setup::extend<caf::reacts_to<refill_atom, region_key, uint64_t>>;

/// An actor that failed of itself, so soon after its start, fails for a reason that a restart may not cure.
constexpr std::chrono::seconds soon{1};
/// A core actor that failed so often in a row is not started again.
constexpr uint32_t most_failures = 5;
/// A mesher's versions are its number times this, and up: more than any mesher makes of one region (a thousand a second for 50
/// days), and enough numbers for a thousand meshers a second for as long.
constexpr uint64_t versions_each = uint64_t{1} << 32;

class supervisor final : public instrumented<supervisor_self> {
public:
  supervisor(caf::actor_config& cfg, actor_context context, supervisor_config config)
    : instrumented(cfg, std::move(context), {"supervisor"}), config_{std::move(config)}, seats_{config_.seats},
      recipes_{std::move(config_.recipes)} {}

  void on_exit() override {
    for (auto& [region, running] : meshers_)
      send_exit(running.handle, caf::exit_reason::user_shutdown);
    for (auto& [region, waiting] : std::exchange(asked_, {}))
      for (auto& promise : waiting)
        promise.deliver(caf::make_error(ec::closing));
    meshers_.clear();
    regions_.clear();
    core_.clear();
    relays_.clear();
    devices_.clear();
    table_ = {};
    broadcaster_ = nullptr;
    recipes_ = {}; // they may hold what holds this actor
  }

  behavior_type make_behavior() override {
    set_down_handler([this](const caf::down_msg& down) { lost(down); });
    broadcaster_ = seats_.broadcaster.get();
    table_ = seats_.devices.get();
    for (const auto& device : table_.devices)
      watch_device(device.id, device.handle);
    tell();
    return {
      [this](place_atom, region_key region) -> caf::result<mesher_actor> {
        const auto i = meshers_.find(region);
        if (i != meshers_.end() && !i->second.ending)
          return mesher_actor{i->second.handle};
        auto promise = make_response_promise<caf::typed_response_promise<mesher_actor>>();
        auto& waiting = asked_[region];
        waiting.push_back(promise);
        if (waiting.size() == 1 && i == meshers_.end()) // else when that one is gone
          place(region);
        return promise;
      },
      [this](leave_atom, region_key region, const mesher_actor& mesher) {
        const auto i = meshers_.find(region);
        if (!regions_.contains(mesher.address()) || i == meshers_.end())
          return; // it died: the partitioner hears of its successor, and lets go of that one
        i->second.ending = true;
        send(i->second.handle, leave_atom::value);
      },
      [this](kill_atom, region_key region) {
        auto i = meshers_.find(region);
        if (i == meshers_.end())
          return false;
        send_exit(i->second.handle, caf::exit_reason::kill);
        return true;
      },
      [this](caf::monitor_atom, const std::string& role, const caf::strong_actor_ptr& handle) {
        if (role == relay_role)
          add_relay(handle);
        else
          watch(role, handle);
      },
      [this](kill_atom, const std::string& role) { return kill(role); },
      [this](refill_atom, region_key region, uint64_t number) {
        if (auto i = meshers_.find(region); i != meshers_.end() && i->second.number == number)
          restart(region);
      },
    };
  }

private:
  // -- meshers --------------------------------------------------------------------

  struct child {
    mesher_setup handle{};
    device_id id{};
    uint64_t generation = 0;
    uint32_t failures = 0; ///< in a row, each soon after a start
    caf::actor_clock::time_point started{};
    uint64_t number = 0; ///< among all that were started
    bool ending = false; ///< and has no successor
  };

  void place(region_key region) {
    request(seats_.placement.get(), config_.request_timeout, place_atom::value, region)
      .then(
        [this, region](device_id id, const device_actor&) {
          if (!asked_.contains(region))
            return; // another placement was faster
          if (!devices_.contains(id))
            return place(region); // it was taken out of use meanwhile
          const auto old = meshers_.find(region);
          if (old != meshers_.end() && old->second.ending)
            return; // it is placed when that one is gone
          if (old != meshers_.end())
            replace(region, id);
          else
            start({{}, id}, region);
          give(region);
        },
        [this, region](caf::error& err) {
          if (is_peer_loss(err))
            return; // its successor is asked
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

  void start(child next, region_key region) {
    auto config = config_.meshers;
    config.region = region;
    config.device = next.id;
    config.generation = next.generation;
    next.number = ++started_;
    config.version = next.number * versions_each;
    next.handle = spawn_mesher(system(), shared(), devices_.at(next.id).handle, broadcaster_, std::move(config));
    next.started = now();
    monitor(next.handle);
    regions_[next.handle.address()] = region;
    meshers_[region] = std::move(next);
    tell();
  }

  /// Gives the region's mesher to those who wait for it. The partitioner must have been told of a successor before.
  void give(region_key region) {
    for (auto& promise : take(region))
      promise.deliver(mesher_actor{meshers_.at(region).handle});
  }

  /// Starts a new mesher: at once if the old one was killed or had worked a while; after a pause that doubles if it keeps
  /// failing.
  void mourn(region_key region, const caf::error& reason) {
    auto& old = meshers_.at(region);
    if (old.ending && reason == caf::exit_reason::user_shutdown)
      return end(region);
    old.ending = false; // viewers may not know yet that the region is empty: its successor tells
    numbers().restarts.fetch_add(1, std::memory_order_relaxed);
    const auto failed = reason != caf::exit_reason::kill && now() - old.started < soon;
    old.failures = failed ? old.failures + 1 : 0;
    const std::chrono::milliseconds pause{old.failures < 3 ? 0 : 50 << std::min(old.failures, 6u)};
    shared().write(severity::warning, "restarting the mesher of region " + std::to_string(region.x) + ","
                                        + std::to_string(region.y) + "," + std::to_string(region.z)
                                        + (pause.count() > 0 ? " in " + std::to_string(pause.count()) + " ms" : "") + ": "
                                        + describe(reason));
    if (pause.count() > 0)
      delayed_send(supervisor_self{this}, pause, refill_atom::value, region, old.number);
    else
      restart(region);
  }

  /// Forgets a region whose mesher is gone and needs no successor; unless one is asked for by now.
  void end(region_key region) {
    meshers_.erase(region);
    tell();
    if (asked_.contains(region))
      place(region);
  }

  /// Starts a new mesher on the old one's device; on another, if that one is not used any more.
  void restart(region_key region) {
    const auto on = meshers_.at(region).id;
    if (devices_.contains(on)) {
      replace(region, on);
      return give(region);
    }
    asked_.try_emplace(region);
    place(region);
  }

  void replace(region_key region, device_id on) {
    const auto old = meshers_.at(region);
    start({{}, on, old.generation + 1, old.failures}, region);
    if (auto partitioner = seats_.partitioner.get())
      send(partitioner, refill_atom::value, region, mesher_actor{meshers_.at(region).handle});
  }

  /// Ends the meshers of a device: they know its actor alone.
  void replace_meshers(device_id of) {
    for (const auto& [region, running] : meshers_)
      if (running.id == of)
        send_exit(running.handle, caf::exit_reason::kill);
  }

  // -- devices ------------------------------------------------------------------------

  struct device_entry;

  void watch_device(device_id id, const device_actor& handle) {
    monitor(handle);
    auto& one = devices_[id];
    one.handle = handle;
    one.life.started = now();
  }

  /// Tells placement, the partitioner, and who asks from outside, which devices there are.
  void seat_devices() {
    seats_.devices = table_;
    send(caf::actor_cast<placement_setup>(seats_.placement.get()), caf::put_atom::value, table_);
    if (auto partitioner = seats_.partitioner.get())
      send(caf::actor_cast<partitioner_setup>(partitioner), caf::put_atom::value, table_);
    tell();
  }

  placed_device& placed(device_id id) {
    return *std::find_if(table_.devices.begin(), table_.devices.end(), [&](const placed_device& d) { return d.id == id; });
  }

  /// A device that failed is not used any more; one that was killed has a successor.
  void lost_device(device_id id, const caf::error& reason) {
    auto& one = devices_.at(id);
    count_failure(one.life, reason);
    const auto hopeless = one.life.failures >= most_failures;
    if (id != recipes_.spare && (reason == ec::device_failed || hopeless))
      return retire(id, describe(reason));
    if (hopeless)
      return give_up("device", describe(reason) + in_a_row(one.life));
    numbers().restarts.fetch_add(1, std::memory_order_relaxed);
    shared().write(severity::warning, "restarting the device: " + describe(reason));
    try {
      restart_device(id);
    } catch (const std::exception& e) {
      if (id == recipes_.spare)
        give_up("device", e.what());
      else
        retire(id, e.what());
    }
  }

  /// What its fields hold is not known: what was under way may have been done or not. The partitioner fills them again.
  void restart_device(device_id id) {
    const auto fresh = recipes_.device(id);
    watch_device(id, fresh);
    shared().registry->set_restarts(fresh->id(), ++devices_.at(id).life.restarts);
    placed(id).handle = fresh;
    seat_devices();
    replace_meshers(id);
  }

  /// Takes a device out of use: its regions go to the other devices, or to the spare one if there is none, and are filled again.
  void retire(device_id id, const std::string& reason) {
    const auto name = numbers().devices.name_of(id);
    devices_.erase(id);
    recipes_.retired(id);
    table_.lost |= uint64_t{1} << placed(id).index;
    std::erase_if(table_.devices, [&](const placed_device& d) { return d.id == id; });
    numbers().device_failures.fetch_add(1, std::memory_order_relaxed);
    const auto regions = std::count_if(meshers_.begin(), meshers_.end(), [&](const auto& one) { return one.second.id == id; });
    const auto text = "device " + std::to_string(id.value) + " (" + name + ") is not used any more: " + reason;
    record().set_error(text);
    shared().write(severity::error,
                   text + "; " + std::to_string(regions)
                     + " regions are filled again elsewhere. When the service is started again, it is tried again");
    if (devices_.empty()) {
      try {
        watch_device(recipes_.spare, recipes_.device(recipes_.spare));
      } catch (const std::exception& e) {
        return give_up("device", e.what());
      }
      table_ = {{{recipes_.spare, devices_.at(recipes_.spare).handle, 0}}, 1, 0};
      shared().write(severity::warning, "no device is left: " + numbers().devices.name_of(recipes_.spare) + " takes over");
    }
    seat_devices();
    replace_meshers(id);
  }

  // -- actors of which there is one each ----------------------------------------------

  struct core_actor {
    caf::strong_actor_ptr handle;
    uint64_t restarts = 0;
    uint32_t failures = 0; ///< in a row, each soon after a start
    caf::actor_clock::time_point started{};
  };

  struct device_entry {
    device_actor handle;
    core_actor life; ///< without the handle
  };

  void watch(const std::string& role, const caf::strong_actor_ptr& handle) {
    monitor(caf::actor_cast<caf::actor_addr>(handle));
    auto& one = core_[role];
    one.handle = handle;
    one.started = now();
    tell();
  }

  void lost(const caf::down_msg& down) {
    if (auto i = regions_.find(down.source); i != regions_.end()) {
      const auto region = i->second;
      regions_.erase(i);
      return mourn(region, down.reason);
    }
    const auto is_source
      = [&](const caf::strong_actor_ptr& handle) { return caf::actor_cast<caf::actor_addr>(handle) == down.source; };
    if (std::erase_if(relays_, is_source) > 0) {
      if (down.reason && down.reason != caf::exit_reason::user_shutdown)
        give_up(relay_role, describe(down.reason)); // what it held is lost to its sources
      return;
    }
    for (const auto& [id, one] : devices_)
      if (one.handle.address() == down.source)
        return lost_device(id, down.reason);
    for (auto& [role, one] : core_)
      if (is_source(one.handle))
        return restart_core(role, one, down.reason);
  }

  void count_failure(core_actor& one, const caf::error& reason) {
    const auto failed = reason != caf::exit_reason::kill && now() - one.started < soon;
    one.failures = failed ? one.failures + 1 : 0;
  }

  static std::string in_a_row(const core_actor& one) { return ", " + std::to_string(one.failures) + " times in a row"; }

  void restart_core(const std::string& role, core_actor& one, const caf::error& reason) {
    count_failure(one, reason);
    if (one.failures >= most_failures)
      return give_up(role, describe(reason) + in_a_row(one));
    numbers().restarts.fetch_add(1, std::memory_order_relaxed);
    shared().write(severity::warning, "restarting the " + role + ": " + describe(reason));
    caf::strong_actor_ptr fresh;
    try {
      fresh = start_core(role);
    } catch (const std::exception& e) {
      return give_up(role, e.what());
    }
    watch(role, fresh);
    shared().registry->set_restarts(fresh->id(), ++one.restarts);
  }

  /// Starts a successor and tells all who work with it.
  caf::strong_actor_ptr start_core(const std::string& role) {
    if (role == "placement")
      return restart_placement();
    if (role == "broadcaster")
      return restart_broadcaster();
    if (role == "partitioner")
      return restart_partitioner();
    if (role == "ingest")
      return restart_ingest();
    if (role == "inspector") {
      seats_.inspector = recipes_.inspector();
      return caf::actor_cast<caf::strong_actor_ptr>(seats_.inspector.get());
    }
    throw std::logic_error("nobody knows how to start it");
  }

  caf::strong_actor_ptr restart_placement() {
    seats_.placement = recipes_.placement(table_);
    for (const auto& [region, waiting] : asked_)
      place(region);
    return caf::actor_cast<caf::strong_actor_ptr>(seats_.placement.get());
  }

  /// Sessions end with their broadcaster, and viewers come back; meshers and the partitioner tell the new one what there is.
  caf::strong_actor_ptr restart_broadcaster() {
    broadcaster_ = recipes_.broadcaster();
    seats_.broadcaster = broadcaster_;
    for (const auto& [region, running] : meshers_)
      send(running.handle, caf::put_atom::value, broadcaster_);
    if (auto partitioner = seats_.partitioner.get())
      send(caf::actor_cast<partitioner_setup>(partitioner), caf::put_atom::value, broadcaster_);
    return caf::actor_cast<caf::strong_actor_ptr>(broadcaster_);
  }

  /// It fills all fields again from the store, and tells the meshers when that is done. Whom the dead one asked for and did not
  /// get, nobody knows.
  caf::strong_actor_ptr restart_partitioner() {
    std::erase_if(asked_, [](const auto& one) { return !one.second.empty(); });
    for (const auto& [region, running] : meshers_)
      if (!running.ending) // what they show stays until their fields are whole again
        send(running.handle, refill_atom::value, true);
    const auto fresh = recipes_.partitioner(supervisor_self{this}, broadcaster_, table_, true);
    seats_.partitioner = fresh;
    if (auto ingest = seats_.ingest.get())
      send(caf::actor_cast<ingest_setup>(ingest), caf::put_atom::value, partitioner_actor{fresh});
    for (const auto& [region, running] : meshers_)
      if (!running.ending)
        send(fresh, refill_atom::value, region, mesher_actor{running.handle});
    return caf::actor_cast<caf::strong_actor_ptr>(fresh);
  }

  caf::strong_actor_ptr restart_ingest() {
    const auto fresh = recipes_.ingest(seats_.partitioner.get());
    seats_.ingest = fresh;
    for (const auto& relay : relays_)
      send(caf::actor_cast<relay_setup>(relay), caf::put_atom::value, ingest_actor{fresh});
    return caf::actor_cast<caf::strong_actor_ptr>(fresh);
  }

  void add_relay(const caf::strong_actor_ptr& relay) {
    monitor(caf::actor_cast<caf::actor_addr>(relay));
    relays_.push_back(relay);
    send(caf::actor_cast<relay_setup>(relay), caf::put_atom::value,
         seats_.ingest.get()); // it may have begun with one that is dead
  }

  void give_up(const std::string& role, const std::string& reason) {
    const auto text = "the " + role + " ended and cannot be started again: " + reason;
    record().set_error(text);
    shared().write(severity::error, text);
    if (numbers().lost_core.fetch_add(1, std::memory_order_relaxed) == 0 && config_.on_lost)
      config_.on_lost(text);
  }

  bool kill(const std::string& role) {
    if (role == "supervisor") {
      quit(caf::exit_reason::kill);
      return true;
    }
    if (role == "device" && !devices_.empty()) {
      send_exit(devices_.begin()->second.handle, caf::exit_reason::kill);
      return true;
    }
    auto i = core_.find(role);
    if (i == core_.end())
      return false;
    send_exit(i->second.handle, caf::exit_reason::kill);
    return true;
  }

  void tell() {
    record().set_detail("watches " + std::to_string(meshers_.size()) + " meshers, " + std::to_string(devices_.size())
                        + " devices and " + std::to_string(core_.size()) + " other actors");
  }

  supervisor_config config_;
  core_seats seats_;
  core_recipes recipes_;
  broadcaster_actor broadcaster_;
  std::map<device_id, device_entry> devices_; ///< that are in use
  device_table table_;                        ///< likewise, and which has which regions
  std::unordered_map<region_key, child> meshers_;
  std::unordered_map<region_key, std::vector<caf::typed_response_promise<mesher_actor>>> asked_;
  std::map<caf::actor_addr, region_key> regions_; ///< of the meshers that live
  uint64_t started_ = 0;                          ///< meshers, of all regions
  std::map<std::string, core_actor> core_;        ///< by role
  std::vector<caf::strong_actor_ptr> relays_;
};

} // namespace

supervisor_setup spawn_supervisor(caf::actor_system& system, actor_context context, supervisor_config config) {
  return system.spawn<supervisor>(std::move(context), std::move(config));
}

} // namespace tessera
