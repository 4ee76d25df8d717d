#include "actors/supervision/service.hpp"

#include "actors/store/spilling_store.hpp"
#include "actors/supervision/supervisor.hpp"

#include <algorithm>
#include <ranges>
#include <stdexcept>

namespace tessera {

namespace {

void check(const service_config& config) {
  config.map.validate();
  auto within = [](const char* name, uint64_t value, uint64_t low, uint64_t high) {
    if (value < low || value > high)
      throw std::invalid_argument(std::string{name} + " is " + std::to_string(value) + ", not " + std::to_string(low) + " to "
                                  + std::to_string(high));
  };
  within("threads", config.threads, 1, 1024);
  within("credit", config.credit, 1, 65'536);
  within("gpus", config.gpus.size(), 0, most_shares);
  within("max_points", config.limits.max_points, 1, keyframe_limits::most_points);
  if (!config.encode)
    throw std::invalid_argument("the service has no encoder for patches");
}

/// The GPUs; without any, the CPU.
device_table start_devices(const service_parts& parts) {
  device_table out;
  out.count = std::max<uint32_t>(1, static_cast<uint32_t>(parts.config.gpus.size()));
  for (uint32_t i = 0; i < out.count; ++i) // the CPU's id is the one after the GPUs'
    out.devices.push_back({device_id{i}, start_device(parts, device_id{i}), i});
  return out;
}

} // namespace

std::vector<caf::strong_actor_ptr> service::actors() const {
  std::vector<caf::strong_actor_ptr> out;
  for_each([&out](const auto& seat) {
    if (const auto handle = seat.get())
      out.push_back(strong(handle));
  });
  for (const auto& device : devices.get().devices)
    out.push_back(strong(device.handle));
  return out;
}

void service::forget() {
  for_each([](auto seat) { seat.clear(); }); // a copy is as good
  devices.clear();
  supervisor.clear();
}

std::shared_ptr<keyframe_store> make_keyframe_store(const service_config& config) {
  if (config.make_store)
    return config.make_store();
  spilling_options how;
  how.cap_bytes = config.store_bytes;
  how.folder = config.store_folder;
  how.own_thread = config.own_threads;
  how.remembered = config.remembered;
  return std::make_shared<spilling_store>(std::move(how));
}

service announce_service(const service_config& config) {
  service out;
  out.context.log = config.log;
  out.context.numbers->set_aside.warn_to(config.log);
  out.context.numbers->shortage.tell_to(config.log);
  out.context.numbers->quarantine.tell_to(config.log);
  out.epoch = !config.epoch.empty() ? config.epoch : config.told ? config.told->epoch() : random_epoch();
  return out;
}

service start_service(caf::actor_system& system, const service_config& config, service announced) {
  check(config);
  auto out = std::move(announced);
  out.session.region_m = config.map.voxel_m * static_cast<float>(config.map.region_voxels);
  out.session.request_timeout = config.request_timeout;

  out.store = make_keyframe_store(config);
  out.told = config.told;
  out.encoders = std::make_shared<encoder_pool>(config.encode, config.own_threads ? config.threads : 0, out.context,
                                                system.next_actor_id(), config.encode_cells);

  const auto parts
    = std::make_shared<service_parts>(service_parts{system, config, out.context, out.epoch, out.store, out.encoders, out});
  out.devices = start_devices(*parts);
  const auto supervisor = spawn_supervisor(system, parts);
  out.supervisor = supervisor;
  supervisor->attach_functor([context = out.context, lost = config.on_lost](const caf::error& reason) {
    if (!reason || reason == caf::exit_reason::user_shutdown)
      return;
    // Nobody would start the next actor that dies: better all from the beginning.
    const auto text = "the supervisor ended and cannot be started again: " + describe(reason);
    context.write(severity::error, text);
    if (context.numbers->lost_core.fetch_add(1, std::memory_order_relaxed) == 0 && lost)
      lost(text);
  });
  region_meshers no_meshers;
  const std::vector<relay_setup> no_relays;
  const core_peers nobody{supervisor, no_meshers, no_relays, [] {}};
  for (const auto& actor : core_actors() | std::views::reverse)
    caf::anon_send(supervisor, caf::monitor_atom::value, std::string{actor.role}, actor.start(*parts, nobody));
  out.watch = std::make_shared<watchdog>(out.context, out.store, config.stall_after, config.own_threads);
  return out;
}

bool stop_service(caf::actor_system& system, service& running, std::chrono::milliseconds timeout) {
  caf::scoped_actor self{system};
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  const auto end = [&](const std::vector<caf::strong_actor_ptr>& actors) {
    for (const auto& a : actors)
      self->monitor(caf::actor_cast<caf::actor_addr>(a));
    for (const auto& a : actors)
      self->send_exit(a, caf::exit_reason::user_shutdown);
    for (auto left = actors.size(); left > 0;) {
      const auto now = std::chrono::steady_clock::now();
      if (now >= deadline)
        return false;
      self->receive(
        [&](const caf::down_msg&) { --left; },
        caf::after(std::chrono::duration_cast<std::chrono::milliseconds>(deadline - now) + std::chrono::milliseconds{1}) >>
          [] {});
    }
    return true;
  };
  if (const auto watch = std::exchange(running.watch, nullptr))
    watch->stop();
  // The supervisor first: it must not start the others again.
  auto ended = true;
  if (auto supervisor = running.supervisor.get())
    ended = end({strong(supervisor)});
  ended = end(running.actors()) && ended;
  if (const auto pool = std::exchange(running.encoders, nullptr))
    pool->stop(); // a server may have a copy of the service
  if (const auto store = std::exchange(running.store, nullptr))
    store->stop();
  if (const auto told = std::exchange(running.told, nullptr))
    told->stop();
  running.forget();
  return ended;
}

} // namespace tessera
