#include "actors/map/partitioner.hpp"

#include "actors/map/partitioner_class.hpp"
#include "messages/thread_name.hpp"

namespace tessera {

namespace detail {

namespace {

/// Stamps of this process shall be those of no other one.
std::mt19937_64 seeded() {
  std::random_device device;
  std::seed_seq seed{device(), device(), device(), device(), device(), device(), device(), device()};
  return std::mt19937_64{seed};
}

} // namespace

partitioner::partitioner(caf::actor_config& cfg, actor_context context, supervisor_actor supervisor,
                         broadcaster_actor broadcaster, std::shared_ptr<keyframe_store> store, partitioner_config config)
  // What a handler that threw left half done would stay so: a successor makes it whole.
  : instrumented(cfg, std::move(context), {role::partitioner, {}, {}, on_throw::die}), supervisor_{std::move(supervisor)},
    broadcaster_{std::move(broadcaster)}, store_{std::move(store), caf::weak_actor_ptr{ctrl()}}, config_{std::move(config)},
    stamps_{seeded()} {}

void partitioner::on_exit() {
  const auto gone = caf::make_error(ec::restarting, std::string{"the partitioner ended"});
  for (auto& [number, its] : promises_)
    its.deliver(gone);
  promises_.clear();
  changes_.clear();
  batches_.clear();
  takes_.clear();
  with_others_.clear();
  later_.clear();
  snapshots_.clear();
  after_refill_.clear();
  trials_.clear();
  store_.close();
  regions_.clear();
  devices_ = {};
  fresh_.reset();
  gathers_.clear();
  for (auto& [number, who] : askers_)
    who.fail(gone);
  askers_.clear();
  for (const auto& one : std::exchange(slicings_, {}))
    one->promise.deliver(gone);
  supervisor_ = nullptr;
  broadcaster_ = nullptr;
}

partitioner::behavior_type partitioner::make_behavior() {
  if (config_.own_thread)
    name_thread("partitioner");
  devices_ = std::move(config_.devices);
  for (const auto& [group, number] : store_.group_revisions())
    live_.groups().enter(group, number);
  numbers().quarantine.assign(store_.quarantined());
  if (config_.begins == map_beginning::empty)
    find_snapshots(); // of no use any more
  else
    recover();
  count_store();
  return {
    [this](ingest_atom, map_input& what) { return add(changes_.make(std::move(what))); },
    [this](retract_atom, keyframe_selection& which) { return clear(std::move(which)); },
    [this](revise_atom, correction& what) { return correct(what); },
    [this](refill_atom, region_key region, const mesher_actor& mesher) { succeeded(region, mesher); },
    [this](caf::put_atom, device_table& devices) {
      fresh_ = std::move(devices);
      go_on();
    },
    [this](caf::put_atom, const broadcaster_actor& successor) {
      broadcaster_ = successor;
      cameras_due_ = recovering();
      if (!cameras_due_)
        tell_all_cameras();
      if (made_again_)
        tell_that_all_is_there();
    },
    [this](const mesher_death& death) { mesher_died(death); },
    [this](status_atom) { return ask_status(); },
    [this](list_atom) { return ask_regions(); },
    [this](mesh_atom) { return ask_meshes(); },
    [this](slice_atom, const field_plane& plane) { return ask_slice(plane); },
    [this](caf::tick_atom) {
      tick_ = false;
      for (const auto& what : std::exchange(later_, {}))
        what();
      if (recovering())
        recover_step();
      else
        refill_step();
    },
    [this](caf::idle_atom) { end_idle(); },
    [this](caf::delete_atom) {
      forget_at_.reset();
      forget_on();
    },
    [this](caf::flush_atom) { check_hold(); },
    [this](snapshot_atom) { take_snapshots(); },
    [this](snapshot_atom, const region_key& region, const shared_snapshot& its) { fetched(region, its); },
    [this](caf::ok_atom, store_answer& answer) { store_.answered(answer); },
  };
}

void partitioner::tell_camera(const keyframe_id& id, uint64_t timestamp_ns, const pose& world_from_camera, bool gone) {
  send(broadcaster_, camera_atom::value, std::vector<camera>{{id, timestamp_ns, world_from_camera, gone}});
}

void partitioner::tell_all_cameras() {
  std::vector<camera> all;
  for (const auto& id : store_.ids())
    if (const auto* live = live_.find(id); live != nullptr && live->stored && !live->insertions.empty())
      all.push_back({id, live->timestamp_ns, live->insertions.front().world_from_camera, false});
  send(broadcaster_, camera_atom::value, std::move(all));
}

hindered partitioner::store_failed(const std::exception_ptr& thrown) {
  auto by = hindered_by(thrown);
  if (by.why == hindrance::store)
    numbers().store_errors.fetch_add(1, std::memory_order_relaxed);
  record().set_error(by.text);
  if (const auto held_back = store_log_.pass(log_limit::clock::now()))
    shared().write(severity::error, "partitioner: " + by.text
                                      + (*held_back > 0 ? " (" + std::to_string(*held_back) + " more failures before it)" : ""));
  return by;
}

void partitioner::count_store() {
  const auto usage = store_.usage();
  auto& n = numbers();
  n.live_keyframes.store(static_cast<int64_t>(usage.keyframes), std::memory_order_relaxed);
  n.live_rays.store(static_cast<int64_t>(usage.rays), std::memory_order_relaxed);
  n.store_memory_bytes.store(static_cast<int64_t>(usage.memory_bytes), std::memory_order_relaxed);
  n.store_disk_bytes.store(static_cast<int64_t>(usage.disk_bytes), std::memory_order_relaxed);
  n.retractions.store(static_cast<int64_t>(usage.retractions), std::memory_order_relaxed);
  n.retractions_let_go.store(usage.retractions_let_go, std::memory_order_relaxed);
  record().set_detail(std::to_string(live_.size()) + " live keyframes, " + std::to_string(regions_.size()) + " regions, "
                      + std::to_string(changes_.size()) + " changes under way, " + std::to_string(takes_.under_way())
                      + " being taken, " + std::to_string(book_.size()) + " regions being refilled"
                      + (recovering() ? ", " + std::to_string(recovery_.left()) + " keyframes to take again" : "")
                      + (config_.retain.any() ? ", kept are " + describe(config_.retain) : ""));
}

} // namespace detail

partitioner_setup spawn_partitioner(caf::actor_system& system, actor_context context, supervisor_actor supervisor,
                                    broadcaster_actor broadcaster, std::shared_ptr<keyframe_store> store,
                                    partitioner_config config) {
  if (config.own_thread)
    return system.spawn<detail::partitioner, caf::detached>(std::move(context), std::move(supervisor), std::move(broadcaster),
                                                            std::move(store), std::move(config));
  return system.spawn<detail::partitioner>(std::move(context), std::move(supervisor), std::move(broadcaster), std::move(store),
                                           std::move(config));
}

} // namespace tessera
