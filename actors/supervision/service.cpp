#include "actors/supervision/service.hpp"

#include "actors/viewers/broadcaster.hpp"
#include "actors/map/device.hpp"
#include "actors/intake/ingest.hpp"
#include "actors/supervision/inspector.hpp"
#include "actors/map/partitioner.hpp"
#include "actors/map/placement.hpp"
#include "actors/store/spilling_store.hpp"
#include "actors/supervision/supervisor.hpp"

#include <algorithm>
#include <random>
#include <stdexcept>

namespace tessera {

namespace {

std::string random_epoch() {
  std::random_device device;
  map_hash bits;
  for (auto* lane : {&bits.hi, &bits.lo})
    *lane = (uint64_t{device()} << 32) | device();
  return to_hex(bits).substr(0, 16);
}

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

std::shared_ptr<keyframe_store> store_for(const service_config& config) {
  if (config.make_store)
    return config.make_store();
  spilling_options how;
  how.cap_bytes = config.store_bytes;
  how.folder = config.store_folder;
  how.own_thread = config.own_threads;
  return std::make_shared<spilling_store>(std::move(how));
}

template <class Handle>
caf::strong_actor_ptr strong(const Handle& handle) {
  return caf::actor_cast<caf::strong_actor_ptr>(handle);
}

/// How each actor is started, the first time and again.
core_recipes recipes_for(caf::actor_system& system, const actor_context& context, const service_config& config,
                         const std::string& epoch, const std::shared_ptr<keyframe_store>& store) {
  partitioner_config parts;
  parts.map = config.map;
  parts.request_timeout = config.request_timeout;
  parts.epoch = epoch;
  parts.own_thread = config.own_threads;

  core_recipes out;
  out.spare = device_id{static_cast<uint32_t>(config.gpus.size())};
  const cpu_options cpu{config.own_threads ? config.threads : 0, config.device_bytes};
  out.device = [&system, context, gpus = config.gpus, make = config.make_cpu, map = config.map, cpu](device_id id) {
    return spawn_device(system, context, id, id.value < gpus.size() ? gpus[id.value] : make(map, cpu));
  };
  out.retired = [numbers = context.numbers](device_id id) { numbers->devices.remove(id); };
  out.placement = [&system, context](const device_table& devices) { return spawn_placement(system, context, devices); };
  out.broadcaster
    = [&system, context, epoch, encode = config.encode] { return spawn_broadcaster(system, context, epoch, encode); };
  out.partitioner = [&system, context, store, parts](const supervisor_actor& supervisor, const broadcaster_actor& broadcaster,
                                                     const device_table& devices, bool successor) {
    auto how = parts;
    how.devices = devices;
    how.successor = successor;
    return spawn_partitioner(system, context, supervisor, broadcaster, store, std::move(how));
  };
  out.ingest = [&system, context, how = ingest_config{config.limits, credit_of(config), config.policy, config.request_timeout}](
                 const partitioner_actor& partitioner) { return spawn_ingest(system, context, partitioner, how); };
  out.inspector = [&system, context] { return spawn_inspector(system, context); };
  return out;
}

} // namespace

std::vector<caf::strong_actor_ptr> service::actors() const {
  std::vector<caf::strong_actor_ptr> out;
  const auto add = [&out](const auto& handle) {
    if (handle)
      out.push_back(strong(handle));
  };
  // In the direction of the data, so that what is cut off is answered.
  add(ingest.get());
  add(partitioner.get());
  add(placement.get());
  for (const auto& device : devices.get().devices)
    add(device.handle);
  add(broadcaster.get());
  add(inspector.get());
  return out;
}

void service::forget() {
  ingest.clear();
  partitioner.clear();
  supervisor.clear();
  broadcaster.clear();
  inspector.clear();
  placement.clear();
  devices.clear();
}

uint32_t credit_of(const service_config& config) {
  return config.credit * static_cast<uint32_t>(std::max<size_t>(1, config.gpus.size()));
}

service announce_service(const service_config& config) {
  service out;
  out.context.log = config.log;
  out.context.numbers->set_aside.warn_to(config.log);
  out.context.numbers->shortage.tell_to(config.log);
  out.epoch = config.epoch.empty() ? random_epoch() : config.epoch;
  return out;
}

service start_service(caf::actor_system& system, const service_config& config, service announced) {
  check(config);
  auto out = std::move(announced);
  out.session.region_m = config.map.voxel_m * static_cast<float>(config.map.region_voxels);
  out.session.request_timeout = config.request_timeout;

  out.store = store_for(config);
  out.encoders
    = std::make_shared<encoder_pool>(config.encode, config.own_threads ? config.threads : 0, out.context, system.next_actor_id());

  supervisor_config supervision;
  supervision.request_timeout = config.request_timeout;
  supervision.meshers.patch_interval = config.patch_interval;
  supervision.meshers.encoders = out.encoders;
  supervision.on_lost = config.on_lost;
  supervision.seats = {out.ingest, out.partitioner, out.broadcaster, out.placement, out.devices, out.inspector};
  supervision.recipes = recipes_for(system, out.context, config, out.epoch, out.store);
  const auto recipes = supervision.recipes;

  device_table devices;
  for (uint32_t i = 0; i < config.gpus.size(); ++i)
    devices.devices.push_back({device_id{i}, recipes.device(device_id{i}), i});
  if (devices.devices.empty())
    devices.devices.push_back({recipes.spare, recipes.device(recipes.spare), 0});
  devices.count = static_cast<uint32_t>(devices.devices.size());
  out.devices = devices;
  out.placement = recipes.placement(devices);
  const auto broadcaster = recipes.broadcaster();
  out.broadcaster = broadcaster;
  out.inspector = recipes.inspector();
  const auto supervisor = spawn_supervisor(system, out.context, std::move(supervision));
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
  const auto partitioner = recipes.partitioner(supervisor, broadcaster, devices, false);
  out.partitioner = partitioner;
  out.ingest = recipes.ingest(partitioner);

  const auto watch = [&supervisor](const char* role, const caf::strong_actor_ptr& who) {
    caf::anon_send(supervisor, caf::monitor_atom::value, std::string{role}, who);
  };
  watch("placement", strong(out.placement.get()));
  watch("broadcaster", strong(broadcaster));
  watch("inspector", strong(out.inspector.get()));
  watch("partitioner", strong(partitioner));
  watch("ingest", strong(out.ingest.get()));
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
  // The supervisor first: it must not start the others again.
  auto ended = true;
  if (auto supervisor = running.supervisor.get())
    ended = end({strong(supervisor)});
  ended = end(running.actors()) && ended;
  if (const auto pool = std::exchange(running.encoders, nullptr))
    pool->stop(); // a server may have a copy of the service
  if (const auto store = std::exchange(running.store, nullptr))
    store->stop();
  running.forget();
  return ended;
}

} // namespace tessera
