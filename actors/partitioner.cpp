#include "actors/partitioner.hpp"

#include "actors/partitioner_class.hpp"

namespace tessera {

namespace detail {

partitioner::partitioner(caf::actor_config& cfg, actor_context context, supervisor_actor supervisor,
                         broadcaster_actor broadcaster, std::shared_ptr<keyframe_store> store, partitioner_config config)
  // What a handler that threw left half done would stay so: a successor makes it whole.
  : instrumented(cfg, std::move(context), {"partitioner", {}, {}, on_throw::die}), supervisor_{std::move(supervisor)},
    broadcaster_{std::move(broadcaster)}, store_{std::move(store)}, config_{std::move(config)} {}

void partitioner::on_exit() {
  for (auto& m : makers_)
    send_exit(m.handle, caf::exit_reason::user_shutdown);
  const auto gone = caf::make_error(ec::restarting, std::string{"the partitioner ended"});
  for (auto& [id, waiting] : changes_)
    for (auto& c : waiting) {
      c->next = nullptr; // it holds the change that holds it
      // A promise holds this actor, and answers that will not come hold the change.
      if (!c->part_of)
        std::exchange(c->promise, {}).deliver(gone);
    }
  for (auto& all : clearings_)
    std::exchange(all->promise, {}).deliver(gone);
  clearings_.clear();
  to_clear_.clear();
  makers_.clear();
  changes_.clear();
  sent_.clear();
  regions_.clear();
  for (auto* list : {&gathers_, &running_}) {
    for (auto& g : *list) {
      g->fail(gone);
      g->forget();
    }
    list->clear();
  }
  supervisor_ = nullptr;
  broadcaster_ = nullptr;
}

partitioner::behavior_type partitioner::make_behavior() {
  set_down_handler([this](const caf::down_msg& down) { replace_maker(down.source); });
  makers_.resize(std::max(1u, config_.ray_makers));
  for (auto& m : makers_)
    start_maker(m);
  if (config_.successor)
    recover();
  count_store();
  return {
    [this](integrate_atom, keyframe& frame) {
      auto c = make_change(kind::integrate, frame.id);
      c->frame = std::move(frame);
      return add(c);
    },
    [this](retract_atom, const keyframe_id& id) { return add(make_change(kind::retract, id)); },
    [this](retract_atom, keyframe_selection& which) { return clear(std::move(which)); },
    [this](revise_atom, const keyframe_id& id, const pose& world_from_camera) {
      auto c = make_change(kind::revise, id);
      c->target = world_from_camera;
      return add(c);
    },
    [this](refill_atom, region_key region, const mesher_actor& mesher) { refill(region, mesher); },
    [this](caf::put_atom, const broadcaster_actor& successor) {
      broadcaster_ = successor;
      cameras_due_ = recovering();
      if (!cameras_due_)
        tell_all_cameras();
    },
    [this](status_atom) { return ask_status(); },
    [this](list_atom) { return ask_regions(); },
    [this](mesh_atom) { return ask_meshes(); },
    [this](caf::tick_atom) {
      refill_tick_ = false;
      if (recovering())
        recover_step();
      else
        refill_step();
    },
    [this](caf::idle_atom) { end_idle(); },
  };
}

void partitioner::start_maker(maker& m) {
  m.handle = spawn_ray_maker(system(), shared(), config_.map, config_.rays, config_.gpus);
  monitor(m.handle);
}

void partitioner::replace_maker(const caf::actor_addr& dead) {
  for (auto& m : makers_)
    if (m.handle.address() == dead) {
      numbers().restarts.fetch_add(1, std::memory_order_relaxed);
      shared().write(severity::warning, "restarting a ray maker");
      start_maker(m);
      shared().registry->set_restarts(m.handle->id(), ++m.restarts);
    }
}

hindered partitioner::store_failed(const std::exception_ptr& thrown) {
  auto by = hindered_by(thrown);
  if (by.why == hindrance::store)
    numbers().store_errors.fetch_add(1, std::memory_order_relaxed);
  record().set_error(by.text);
  shared().write(severity::error, "partitioner: " + by.text);
  return by;
}

void partitioner::tell_camera(const keyframe_id& id, uint64_t timestamp_ns, const pose& world_from_camera, bool gone) {
  send(broadcaster_, camera_atom::value, std::vector<camera>{{id, timestamp_ns, world_from_camera, gone}});
}

void partitioner::tell_all_cameras() {
  std::vector<camera> all;
  for (const auto& id : store_->ids())
    if (auto i = live_.find(id); i != live_.end())
      all.push_back({id, i->second.timestamp_ns, i->second.placements.front().world_from_camera, false});
  send(broadcaster_, camera_atom::value, std::move(all));
}

void partitioner::count_store() {
  const auto usage = store_->usage();
  auto& n = numbers();
  n.live_keyframes.store(static_cast<int64_t>(usage.keyframes), std::memory_order_relaxed);
  n.live_rays.store(static_cast<int64_t>(usage.rays), std::memory_order_relaxed);
  n.store_memory_bytes.store(static_cast<int64_t>(usage.memory_bytes), std::memory_order_relaxed);
  n.store_disk_bytes.store(static_cast<int64_t>(usage.disk_bytes), std::memory_order_relaxed);
  record().set_detail(std::to_string(live_.size()) + " live keyframes, " + std::to_string(regions_.size()) + " regions, "
                      + std::to_string(open_.size()) + " changes under way, " + std::to_string(sent_.size()) + " jobs sent, "
                      + std::to_string(book_.regions().size()) + " regions being refilled"
                      + (recovering() ? ", " + std::to_string(unrecovered_.size()) + " keyframes to look at again" : ""));
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
