#include "actors/service.hpp"

#include "actors/broadcaster.hpp"
#include "actors/device.hpp"
#include "actors/ingest.hpp"
#include "actors/inspector.hpp"
#include "actors/partitioner.hpp"
#include "actors/placement.hpp"
#include "actors/spilling_store.hpp"
#include "actors/supervisor.hpp"

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
  within("max_points", config.limits.max_points, 1, keyframe_limits::most_points);
  if (!config.encode)
    throw std::invalid_argument("the service has no encoder for patches");
}

template <class Handle>
caf::strong_actor_ptr strong(const Handle& handle) {
  return caf::actor_cast<caf::strong_actor_ptr>(handle);
}

} // namespace

service start_service(caf::actor_system& system, const service_config& config) {
  check(config);
  service out;
  out.context.log = config.log;
  out.context.numbers->set_aside.warn_to(config.log);
  out.epoch = config.epoch.empty() ? random_epoch() : config.epoch;
  out.session.region_m = config.map.voxel_m * static_cast<float>(config.map.region_voxels);
  out.session.request_timeout = config.request_timeout;

  auto store = std::make_shared<spilling_store>(config.store_bytes, config.store_folder);
  std::shared_ptr<backend> fields = config.make_device ? config.make_device(config.map, config.device_bytes)
                                                       : make_cpu_backend(config.map, config.device_bytes);
  auto rays = config.rays;
  if (!rays.make || !rays.split)
    rays = default_ray_functions();

  const auto device = spawn_device(system, out.context, device_id{0}, std::move(fields), config.threads);
  const auto placement = spawn_placement(system, out.context, {{device_id{0}, device, 1}});
  out.broadcaster = spawn_broadcaster(system, out.context, out.epoch, config.encode);

  supervisor_config supervision;
  supervision.request_timeout = config.request_timeout;
  supervision.meshers.patch_interval = config.patch_interval;
  supervision.meshers.max_staleness = config.max_staleness;
  supervision.meshers.request_timeout = config.request_timeout;
  supervision.meshers.encode = config.encode;
  const auto supervisor
    = spawn_supervisor(system, out.context, {placement, out.broadcaster, {{"device", strong(device)}}}, std::move(supervision));
  out.supervisor = supervisor;

  partitioner_config parts;
  parts.map = config.map;
  parts.rays = std::move(rays);
  parts.ray_makers = config.threads;
  parts.request_timeout = config.request_timeout;
  parts.epoch = out.epoch;
  parts.own_thread = config.own_threads;
  out.partitioner = spawn_partitioner(system, out.context, out.supervisor, out.broadcaster, std::move(store), std::move(parts));
  caf::anon_send(supervisor, caf::put_atom::value, out.partitioner);

  out.ingest = spawn_ingest(system, out.context, out.partitioner, {config.limits, config.credit, config.policy, config.request_timeout});
  out.inspector = spawn_inspector(system, out.context);
  caf::anon_send(supervisor, caf::monitor_atom::value, std::string{"partitioner"}, strong(out.partitioner));
  caf::anon_send(supervisor, caf::monitor_atom::value, std::string{"ingest"}, strong(out.ingest));

  // The supervisor first: it must not mourn the others. Then in the direction of the data, so that what is cut off is answered.
  out.actors = {strong(out.supervisor), strong(out.ingest),      strong(out.partitioner), strong(placement),
                strong(device),         strong(out.broadcaster), strong(out.inspector)};
  return out;
}

bool stop_service(caf::actor_system& system, service& running, std::chrono::milliseconds timeout) {
  caf::scoped_actor self{system};
  auto actors = std::exchange(running.actors, {});
  running.ingest = nullptr;
  running.partitioner = nullptr;
  running.supervisor = nullptr;
  running.broadcaster = nullptr;
  running.inspector = nullptr;
  for (const auto& a : actors)
    self->monitor(caf::actor_cast<caf::actor_addr>(a));
  for (const auto& a : actors)
    self->send_exit(a, caf::exit_reason::user_shutdown);
  auto left = actors.size();
  actors.clear();
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (left > 0) {
    const auto now = std::chrono::steady_clock::now();
    if (now >= deadline)
      return false;
    self->receive([&](const caf::down_msg&) { --left; },
                  caf::after(std::chrono::duration_cast<std::chrono::milliseconds>(deadline - now) + std::chrono::milliseconds{1}) >> [] {});
  }
  return true;
}

} // namespace tessera
