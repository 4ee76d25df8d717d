// What the store is asked, and what its answers are to this actor: messages, unless they come at once.

#include "actors/map/partitioner_class.hpp"

#include <thread>

namespace tessera::detail {

namespace {

/// Where an answer is put that comes in the asker's thread while it asks.
struct at_once {
  const std::thread::id asker = std::this_thread::get_id();
  bool asking = true; ///< of the asker's thread, as is the answer
  std::optional<store_answer> answer{};
};

/// Gives an answer to the partitioner that asked, if it still exists. Threads: any.
struct store_teller {
  caf::weak_actor_ptr partitioner;
  std::shared_ptr<at_once> here;
  uint64_t request;
  void operator()(store_answer answer) const {
    if (std::this_thread::get_id() == here->asker && here->asking) {
      here->answer = std::move(answer);
      return;
    }
    answer.request = request;
    if (const auto alive = partitioner.lock())
      caf::anon_send(caf::actor_cast<caf::actor>(alive), caf::ok_atom::value, std::move(answer));
  }
};

/// The answer of what changes something.
auto changed(const store_teller& tell) {
  return [tell](bool done, std::exception_ptr failure) { tell({std::move(failure), done}); };
}

} // namespace

template <class Start>
void partitioner::ask_store(store_done then, Start start) {
  const store_teller tell{caf::weak_actor_ptr{ctrl()}, std::make_shared<at_once>(), ++asked_};
  try {
    start(tell);
  } catch (...) {
    tell({std::current_exception()});
  }
  tell.here->asking = false;
  if (tell.here->answer)
    return then(*tell.here->answer);
  asked_of_store_.emplace(tell.request, std::move(then));
}

void partitioner::store_answered(store_answer& answer) {
  if (const auto asked = asked_of_store_.extract(answer.request))
    asked.mapped()(answer);
}

void partitioner::ask_to_put(stored_keyframe frame, store_done then) {
  ask_store(std::move(then), [&](const store_teller& tell) { store_->put(std::move(frame), changed(tell)); });
}

void partitioner::ask_to_get(const keyframe_id& id, store_done then) {
  ask_store(std::move(then), [&](const store_teller& tell) {
    store_->get(id, [tell](std::optional<stored_keyframe> frame, std::exception_ptr failure) {
      tell({std::move(failure), false, std::move(frame)});
    });
  });
}

void partitioner::ask_to_erase(const keyframe_id& id, store_done then) {
  ask_store(std::move(then), [&](const store_teller& tell) { store_->erase(id, changed(tell)); });
}

void partitioner::ask_to_set_pose(const keyframe_id& id, const pose& world_from_camera, store_done then) {
  ask_store(std::move(then), [&](const store_teller& tell) { store_->set_pose(id, world_from_camera, changed(tell)); });
}

void partitioner::read(const change_ptr& c, std::function<void(const ray_batch&)> next) {
  ask_to_get(c->id, [this, c, next = std::move(next)](store_answer& a) {
    if (!a.failure && !a.frame)
      a.failure = std::make_exception_ptr(std::logic_error("keyframe " + shown(c->id) + " is live but not in the store"));
    if (!a.failure)
      return next(a.frame->rays);
    auto by = store_failed(a.failure);
    by.text.insert(0, "the keyframe's rays could not be read: ");
    not_now(c, std::move(by));
  });
}

hindered partitioner::store_failed(const std::exception_ptr& thrown) {
  auto by = hindered_by(thrown);
  if (by.why == hindrance::store)
    numbers().store_errors.fetch_add(1, std::memory_order_relaxed);
  record().set_error(by.text);
  shared().write(severity::error, "partitioner: " + by.text);
  return by;
}

void partitioner::count_store() {
  const auto usage = store_->usage();
  auto& n = numbers();
  n.live_keyframes.store(static_cast<int64_t>(usage.keyframes), std::memory_order_relaxed);
  n.live_rays.store(static_cast<int64_t>(usage.rays), std::memory_order_relaxed);
  n.store_memory_bytes.store(static_cast<int64_t>(usage.memory_bytes), std::memory_order_relaxed);
  n.store_disk_bytes.store(static_cast<int64_t>(usage.disk_bytes), std::memory_order_relaxed);
  record().set_detail(
    std::to_string(live_.size()) + " live keyframes, " + std::to_string(regions_.size()) + " regions, "
    + std::to_string(changes_.size()) + " changes under way, " + std::to_string(taking_) + " being taken, "
    + std::to_string(book_.size()) + " regions being refilled"
    + (recovering() ? ", " + std::to_string(unrecovered_.size() + recovering_now_) + " keyframes to take again" : ""));
}

} // namespace tessera::detail
