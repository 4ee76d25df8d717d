#include "actors/map/partitioner.hpp"

#include "actors/map/partitioner_class.hpp"
#include "messages/thread_name.hpp"

namespace tessera {

namespace detail {

partitioner::partitioner(caf::actor_config& cfg, actor_context context, supervisor_actor supervisor,
                         broadcaster_actor broadcaster, std::shared_ptr<keyframe_store> store, partitioner_config config)
  // What a handler that threw left half done would stay so: a successor makes it whole.
  : instrumented(cfg, std::move(context), {"partitioner", {}, {}, on_throw::die}), supervisor_{std::move(supervisor)},
    broadcaster_{std::move(broadcaster)}, store_{std::move(store)}, config_{std::move(config)} {}

void partitioner::on_exit() {
  const auto gone = caf::make_error(ec::restarting, std::string{"the partitioner ended"});
  for (auto& [number, promise] : promises_)
    promise.deliver(gone);
  promises_.clear();
  changes_.clear();
  clearings_.clear();
  takes_.clear();
  quiet_.clear();
  with_others_.clear();
  later_.clear();
  after_refill_.clear();
  asked_of_store_.clear(); // the store goes on, and answers nobody
  store_ = nullptr;        // whose last owner waits for its thread
  regions_.clear();
  devices_ = {};
  fresh_.reset();
  for (auto* list : {&gathers_, &running_}) {
    for (auto& g : *list)
      g->fail(gone);
    list->clear();
  }
  supervisor_ = nullptr;
  broadcaster_ = nullptr;
}

partitioner::behavior_type partitioner::make_behavior() {
  if (config_.own_thread)
    name_thread("partitioner");
  devices_ = std::move(config_.devices);
  if (config_.successor)
    recover();
  count_store();
  return {
    [this](integrate_atom, keyframe& frame) {
      auto c = changes_.make(change::kind::integrate, frame.id);
      c->frame = std::move(frame);
      return add(c);
    },
    [this](retract_atom, const keyframe_id& id) { return add(changes_.make(change::kind::retract, id)); },
    [this](retract_atom, keyframe_selection& which) { return clear(std::move(which)); },
    [this](revise_atom, const keyframe_id& id, const pose& world_from_camera) {
      auto c = changes_.make(change::kind::revise, id);
      c->target = world_from_camera;
      return add(c);
    },
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
    },
    [this](status_atom) { return ask_status(); },
    [this](list_atom) { return ask_regions(); },
    [this](mesh_atom) { return ask_meshes(); },
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
    [this](caf::ok_atom, store_answer& answer) { store_answered(answer); },
  };
}

void partitioner::tell_camera(const keyframe_id& id, uint64_t timestamp_ns, const pose& world_from_camera, bool gone) {
  send(broadcaster_, camera_atom::value, std::vector<camera>{{id, timestamp_ns, world_from_camera, gone}});
}

void partitioner::tell_all_cameras() {
  std::vector<camera> all;
  for (const auto& id : store_->ids())
    if (const auto* live = live_.find(id); live != nullptr && live->stored)
      all.push_back({id, live->timestamp_ns, live->insertions.front().world_from_camera, false});
  send(broadcaster_, camera_atom::value, std::move(all));
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
