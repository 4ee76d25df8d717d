#include "actors/supervision/supervisor.hpp"

#include "actors/base/instrumented.hpp"
#include "actors/base/peer_loss.hpp"
#include "actors/supervision/device_roster.hpp"
#include "messages/roles.hpp"

#include <algorithm>
#include <map>
#include <variant>

namespace tessera {

namespace {

/// A supervisor that also tells itself, after a pause, to restart a region's mesher, the one of this number; or to place one.
using supervisor_self
  = supervisor_setup::extend<caf::reacts_to<refill_atom, region_key, uint64_t>, caf::reacts_to<caf::tick_atom, region_key>>;

/// Pause before a mesher is placed again that placement had no answer for.
constexpr std::chrono::milliseconds placing_pause{200};

class supervisor final : public instrumented<supervisor_self> {
public:
  supervisor(caf::actor_config& cfg, std::shared_ptr<service_parts> parts)
    : instrumented(cfg, parts->context, {role::supervisor}), parts_{std::move(parts)},
      meshers_{parts_->config.told ? parts_->config.told->first_number() : 0}, devices_{parts_->seats.devices.get(),
                                                                                        spare_device(parts_->config), now()} {}

  void on_exit() override {
    for (const auto& [region, one] : meshers_.all())
      send_exit(one.handle, caf::exit_reason::user_shutdown);
    for (const auto region : meshers_.needed())
      for (auto& promise : meshers_.take(region))
        promise.deliver(caf::make_error(ec::closing));
    meshers_ = region_meshers{};
    devices_ = {{}, {}, {}};
    core_.clear();
    relays_.clear();
    parts_ = nullptr; // breaks a cycle: its parts may hold references to this actor
  }

  behavior_type make_behavior() override {
    set_down_handler([this](const caf::down_msg& down) { lost(down); });
    for (const auto& one : devices_.table().devices)
      watch(one.handle, one.id);
    tell();
    return {
      [this](place_atom, region_key region) -> caf::result<mesher_actor> {
        if (const auto* one = meshers_.find(region); one && !one->ending)
          return mesher_actor{one->handle};
        auto promise = make_response_promise<region_meshers::promise>();
        if (meshers_.wait(region, promise))
          place(region);
        return promise;
      },
      [this](leave_atom, region_key region, const mesher_actor& mesher) {
        if (!watched_.contains(mesher.address()))
          return; // it died: the partitioner hears of its successor, and lets go of that one
        if (const auto running = meshers_.let_end(region))
          send(running, leave_atom::value);
      },
      [this](kill_atom, region_key region) {
        const auto* one = meshers_.find(region);
        if (one)
          send_exit(one->handle, caf::exit_reason::kill);
        return one != nullptr;
      },
      [this](caf::monitor_atom, const std::string& role, const caf::strong_actor_ptr& handle) {
        if (role == role::sink_relay)
          return add_relay(caf::actor_cast<relay_setup>(handle));
        if (const auto* actor = find_core_actor(role))
          core_.emplace(role, core_life{handle, life{now()}, actor->start});
        watch(handle, role);
        tell();
      },
      [this](kill_atom, const std::string& role) { return kill(role); },
      [this](refill_atom, region_key region, uint64_t number) {
        if (const auto* one = meshers_.find(region); one && one->number == number)
          restart_mesher(region);
      },
      [this](caf::tick_atom, region_key region) {
        if (meshers_.is_needed(region))
          place(region);
      },
    };
  }

private:
  /// Who died: the mesher of a region, a device, or the actor of a role.
  using who = std::variant<region_key, device_id, std::string>;

  template <class Handle>
  void watch(const Handle& handle, who is) {
    const auto address = caf::actor_cast<caf::actor_addr>(handle);
    monitor(address);
    watched_[address] = std::move(is);
  }

  void lost(const caf::down_msg& down) {
    const auto found = watched_.extract(down.source);
    if (!found)
      return;
    const auto& is = found.mapped();
    if (const auto* region = std::get_if<region_key>(&is))
      lost_mesher(*region, down.reason);
    else if (const auto* id = std::get_if<device_id>(&is))
      lost_device(*id, down.reason);
    else if (const auto& role = std::get<std::string>(is); role == role::sink_relay)
      lost_relay(down);
    else
      lost_core(role, down.reason);
  }

  void note_restart(const std::string& whom, const caf::error& reason) {
    numbers().restarts.fetch_add(1, std::memory_order_relaxed);
    shared().write(severity::warning, "restarting the " + whom + ": " + describe(reason));
  }

  void give_up(const std::string& role, const std::string& reason) {
    const auto text = "the " + role + " ended and cannot be started again: " + reason;
    record().set_error(text);
    shared().write(severity::error, text);
    if (numbers().lost_core.fetch_add(1, std::memory_order_relaxed) == 0 && parts_->config.on_lost)
      parts_->config.on_lost(text);
  }
  void give_up(const std::string& role, const caf::error& reason, const life& fared) {
    give_up(role, describe(reason) + ", " + std::to_string(fared.failures()) + " times in a row");
  }

  bool kill(const std::string& role) {
    if (role == role::supervisor) {
      quit(caf::exit_reason::kill);
      return true;
    }
    if (const auto& in_use = devices_.table().devices; role == role::device && !in_use.empty()) {
      send_exit(in_use.front().handle, caf::exit_reason::kill);
      return true;
    }
    const auto i = core_.find(role);
    if (i == core_.end())
      return false;
    send_exit(i->second.handle, caf::exit_reason::kill);
    return true;
  }

  void tell() {
    record().set_detail("watches " + std::to_string(meshers_.all().size()) + " meshers, "
                        + std::to_string(devices_.table().devices.size()) + " devices and " + std::to_string(core_.size())
                        + " other actors");
  }

  // -- meshers --------------------------------------------------------------------

  /// Finds a device for a region's mesher, and starts the mesher on it.
  void place(region_key region) {
    request(parts_->seats.placement.get(), parts_->config.request_timeout, place_atom::value, region)
      .then(
        [this, region](device_id id, const device_actor&) {
          if (!meshers_.is_needed(region))
            return; // another answer was faster, or a mesher must end first: then it is placed
          if (devices_.find(id))
            start_mesher(region, id);
          else if (!devices_.table().devices.empty()) // else none can be started, and the service ends
            place(region);                            // it was taken out of use meanwhile
        },
        [this, region](caf::error& err) {
          if (is_peer_loss(err) || !meshers_.is_needed(region))
            return; // its successor is asked, or another answer was faster
          record().set_error(describe(err));
          for (auto& promise : meshers_.take(region))
            promise.deliver(err); // who still wants it asks again
          if (!meshers_.find(region))
            return;
          meshers_.need(region); // in place of one that died, whether or not anybody asks
          delayed_send(supervisor_self{this}, placing_pause, caf::tick_atom::value, region);
        });
  }

  /// Starts a region's first mesher, or a successor, and gives it to those who wait for it.
  void start_mesher(region_key region, device_id on) {
    auto next = meshers_.next(region, on, now());
    mesher_config config;
    config.region = region;
    config.device = on;
    config.generation = next.fared.restarts();
    config.version = next.first_version();
    config.patch_interval = parts_->config.patch_interval;
    config.unwanted_interval = parts_->config.unwanted_interval;
    config.encoders = parts_->encoders;
    config.shown = next.shown;
    config.told = parts_->config.told;
    if (config.told && config.generation == 0)
      config.before = config.told->take_kept(region);
    next.handle = spawn_mesher(system(), shared(), devices_.find(on)->handle, parts_->seats.broadcaster.get(), std::move(config));
    watch(next.handle, region);
    const mesher_actor fresh = next.handle;
    const auto is_successor = next.fared.restarts() > 0;
    meshers_.put(region, std::move(next));
    tell();
    if (const auto partitioner = parts_->seats.partitioner.get(); partitioner && is_successor)
      send(partitioner, refill_atom::value, region, fresh); // before anyone else tells it
    for (auto& promise : meshers_.take(region))
      promise.deliver(fresh);
  }

  void lost_mesher(region_key region, const caf::error& reason) {
    const auto pause = meshers_.lost(region, reason, now());
    if (pause && (reason == ec::internal || reason == ec::bad_keyframe)) // else its device, memory or a drill was at fault
      tell_of_death(region, false, reason);
    if (!pause) {
      tell();
      if (meshers_.is_needed(region))
        place(region);
      return;
    }
    const auto in = pause->count() > 0 ? " in " + std::to_string(pause->count()) + " ms" : "";
    note_restart("mesher of region " + std::to_string(region.x) + "," + std::to_string(region.y) + "," + std::to_string(region.z)
                   + in,
                 reason);
    if (pause->count() > 0)
      delayed_send(supervisor_self{this}, *pause, refill_atom::value, region, meshers_.find(region)->number);
    else
      restart_mesher(region);
  }

  /// The partitioner finds out over which keyframe it was.
  void tell_of_death(region_key region, bool of_device, const caf::error& reason) {
    const auto* one = meshers_.find(region);
    if (const auto partitioner = parts_->seats.partitioner.get(); one && partitioner)
      send(caf::actor_cast<partitioner_setup>(partitioner), mesher_death{region, *one->shown, of_device, describe(reason)});
  }

  /// Starts a successor on the old one's device; on another, if that one is not used any more.
  void restart_mesher(region_key region) {
    if (const auto on = meshers_.find(region)->device; devices_.find(on))
      return start_mesher(region, on);
    meshers_.need(region);
    place(region);
  }

  /// Ends a device's meshers: each holds a handle to that device's actor only.
  void replace_meshers(device_id of) {
    for (const auto& [region, one] : meshers_.all())
      if (one.device == of)
        send_exit(one.handle, caf::exit_reason::kill);
  }

  // -- devices ------------------------------------------------------------------------

  /// Tells placement, the partitioner, and who asks from outside, which devices there are.
  void seat_devices() {
    auto& seats = parts_->seats;
    seats.devices = devices_.table();
    send(caf::actor_cast<placement_setup>(seats.placement.get()), caf::put_atom::value, devices_.table());
    if (const auto partitioner = seats.partitioner.get())
      send(caf::actor_cast<partitioner_setup>(partitioner), caf::put_atom::value, devices_.table());
    tell();
  }

  void lost_device(device_id id, const caf::error& reason) {
    if (auto context = reason.context();
        reason == ec::device_failed && context.size() > 1 && context.match_element<region_key>(1))
      tell_of_death(context.get_as<region_key>(1), true, reason);
    switch (devices_.lost(id, reason, now())) {
    case device_roster::remedy::retire:
      return retire(id, describe(reason));
    case device_roster::remedy::give_up:
      return give_up(role::device, reason, devices_.fared(id));
    case device_roster::remedy::restart:
      break;
    }
    note_restart(role::device, reason);
    try {
      restart_device(id);
    } catch (const std::exception& e) {
      if (devices_.cannot_restart(id) == device_roster::remedy::retire)
        retire(id, e.what());
      else
        give_up(role::device, e.what());
    }
  }

  /// What its fields hold is not known: what was under way may have been done or not. The partitioner fills them again.
  void restart_device(device_id id) {
    const auto fresh = start_device(*parts_, id);
    watch(fresh, id);
    devices_.replace(id, fresh, now());
    shared().registry->set_restarts(fresh->id(), devices_.fared(id).restarts());
    seat_devices();
    replace_meshers(id);
  }

  /// Takes a device out of use: its regions go to the other devices, or to the spare one if there is none, and are filled again.
  void retire(device_id id, const std::string& reason) {
    const auto name = numbers().devices.name_of(id);
    const auto others_are_left = devices_.retire(id);
    numbers().devices.remove(id);
    numbers().device_failures.fetch_add(1, std::memory_order_relaxed);
    const auto& all = meshers_.all();
    const auto regions = std::count_if(all.begin(), all.end(), [&](const auto& one) { return one.second.device == id; });
    const auto text = "device " + std::to_string(id.value) + " (" + name + ") is not used any more: " + reason;
    record().set_error(text);
    shared().write(severity::error,
                   text + "; " + std::to_string(regions)
                     + " regions are filled again elsewhere. When the service is started again, it is tried again");
    if (!others_are_left) {
      const auto spare = devices_.spare();
      try {
        devices_.take_over(start_device(*parts_, spare), now());
      } catch (const std::exception& e) {
        return give_up(role::device, e.what());
      }
      watch(devices_.find(spare)->handle, spare);
      shared().write(severity::warning, "no device is left: " + numbers().devices.name_of(spare) + " takes over");
    }
    seat_devices();
    replace_meshers(id);
  }

  // -- actors of which there is one each, and relays ------------------------------------

  struct core_life {
    caf::strong_actor_ptr handle;
    life fared;
    decltype(core_actor::start) start;
  };

  void lost_core(const std::string& role, const caf::error& reason) {
    auto& one = core_.at(role);
    one.fared.end(now(), reason == caf::exit_reason::kill);
    if (one.fared.hopeless())
      return give_up(role, reason, one.fared);
    note_restart(role, reason);
    try {
      one.handle = one.start(*parts_, {supervisor_self{this}, meshers_, relays_, [this] {
                                         for (const auto region : meshers_.needed())
                                           place(region);
                                       }});
    } catch (const std::exception& e) {
      return give_up(role, e.what());
    }
    watch(one.handle, role);
    one.fared.restart(now());
    shared().registry->set_restarts(one.handle->id(), one.fared.restarts());
    tell();
  }

  void add_relay(const relay_setup& relay) {
    watch(relay, role::sink_relay);
    relays_.push_back(relay);
    send(relay, caf::put_atom::value, parts_->seats.ingest.get()); // it may have begun with one that is dead
  }

  void lost_relay(const caf::down_msg& down) {
    std::erase_if(relays_, [&](const relay_setup& one) { return one.address() == down.source; });
    if (down.reason && down.reason != caf::exit_reason::user_shutdown)
      give_up(role::sink_relay, describe(down.reason)); // what it held is lost to its sources
  }

  std::shared_ptr<service_parts> parts_;
  region_meshers meshers_;
  device_roster devices_;
  std::map<std::string, core_life> core_; ///< by role
  std::vector<relay_setup> relays_;
  std::map<caf::actor_addr, who> watched_; ///< all of these that live
};

} // namespace

supervisor_setup spawn_supervisor(caf::actor_system& system, std::shared_ptr<service_parts> parts) {
  return system.spawn<supervisor>(std::move(parts));
}

} // namespace tessera
