#include "actors/supervision/core_actors.hpp"

#include "actors/intake/ingest.hpp"
#include "actors/map/partitioner.hpp"
#include "actors/supervision/inspector.hpp"
#include "actors/viewers/broadcaster.hpp"
#include "messages/roles.hpp"

#include <algorithm>
#include <array>

namespace tessera {

namespace {

caf::strong_actor_ptr start_ingest(service_parts& by, const core_peers& peers) {
  const auto& config = by.config;
  const ingest_actor fresh = spawn_ingest(by.system, by.context, by.seats.partitioner.get(),
                                          {config.limits, credit_of(config), config.policy, config.request_timeout});
  by.seats.ingest = fresh;
  for (const auto& relay : peers.relays)
    caf::anon_send(relay, caf::put_atom::value, fresh);
  return strong(fresh);
}

/// The first one makes the map of what is in a journal. A successor fills all fields again from the store, and tells the meshers
/// when that is done. Whom the dead one asked for and did not get, nobody knows.
caf::strong_actor_ptr start_partitioner(service_parts& by, const core_peers& peers) {
  peers.meshers.forget_waiting();
  std::vector<std::pair<region_key, mesher_actor>> staying;
  for (const auto& [region, one] : peers.meshers.all())
    if (!one.ending)
      staying.emplace_back(region, one.handle);
  for (const auto& [region, mesher] : staying)
    caf::anon_send(mesher, refill_atom::value, true); // what they show stays until their fields are whole again

  partitioner_config how;
  how.map = by.config.map;
  how.retain = by.config.retain;
  how.remembered = by.config.remembered;
  how.devices = by.seats.devices.get();
  how.request_timeout = by.config.request_timeout;
  how.epoch = by.epoch;
  // An error that breaks one GPU may break others for whoever asks them next: one death more has to speak against a keyframe.
  how.most_losses = by.config.gpus.empty() ? 2 : 3;
  how.begins = by.seats.partitioner.get()         ? map_beginning::succeeding
               : by.store->usage().keyframes == 0 ? map_beginning::empty
                                                  : map_beginning::kept;
  how.snapshots = by.config.snapshots;
  how.snapshot_after = by.config.snapshot_after;
  how.latest_snapshot = 12 * by.config.snapshot_after;
  how.own_thread = by.config.own_threads;
  const partitioner_actor fresh
    = spawn_partitioner(by.system, by.context, peers.supervisor, by.seats.broadcaster.get(), by.store, std::move(how));
  by.seats.partitioner = fresh;
  if (const auto ingest = by.seats.ingest.get())
    caf::anon_send(caf::actor_cast<ingest_setup>(ingest), caf::put_atom::value, fresh);
  for (const auto& [region, mesher] : staying)
    caf::anon_send(fresh, refill_atom::value, region, mesher);
  return strong(fresh);
}

/// Sessions end with their broadcaster, and viewers come back; meshers and the partitioner tell the new one what there is.
caf::strong_actor_ptr start_broadcaster(service_parts& by, const core_peers& peers) {
  const broadcaster_actor fresh = spawn_broadcaster(
    by.system, by.context,
    {by.epoch, by.config.encode, !(by.config.told && by.store->usage().keyframes > 0), by.config.told, by.config.patch_bytes});
  by.seats.broadcaster = fresh;
  for (const auto& [region, one] : peers.meshers.all())
    caf::anon_send(one.handle, caf::put_atom::value, fresh);
  if (const auto partitioner = by.seats.partitioner.get())
    caf::anon_send(caf::actor_cast<partitioner_setup>(partitioner), caf::put_atom::value, fresh);
  return strong(fresh);
}

caf::strong_actor_ptr start_placement(service_parts& by, const core_peers& peers) {
  const auto fresh = spawn_placement(by.system, by.context, by.seats.devices.get());
  by.seats.placement = fresh;
  peers.place_again();
  return strong(fresh);
}

caf::strong_actor_ptr start_inspector(service_parts& by, const core_peers&) {
  const auto fresh = spawn_inspector(by.system, by.context);
  by.seats.inspector = fresh;
  return strong(fresh);
}

constexpr auto table = std::to_array<core_actor>({
  {role::ingest, start_ingest},
  {role::partitioner, start_partitioner},
  {role::broadcaster, start_broadcaster},
  {role::placement, start_placement},
  {role::inspector, start_inspector},
});

} // namespace

std::span<const core_actor> core_actors() {
  return table;
}

const core_actor* find_core_actor(std::string_view role) {
  const auto i = std::find_if(table.begin(), table.end(), [&](const core_actor& one) { return one.role == role; });
  return i == table.end() ? nullptr : &*i;
}

device_actor start_device(const service_parts& by, device_id id) {
  const auto& config = by.config;
  return spawn_device(by.system, by.context, id, config.map,
                      id.value < config.gpus.size()
                        ? config.gpus[id.value]
                        : config.make_cpu(config.map, {config.own_threads ? config.threads : 0, config.device_bytes}));
}

device_id spare_device(const service_config& config) {
  return {static_cast<uint32_t>(config.gpus.size())};
}

} // namespace tessera
