#include "actors/store/store_client.hpp"

#include <thread>

namespace tessera {

namespace {

/// Where an answer is put that comes in the asker's thread while it asks.
struct at_once {
  const std::thread::id asker = std::this_thread::get_id();
  bool asking = true; ///< of the asker's thread, as is the answer
  std::optional<store_answer> answer{};
};

/// Gives an answer to the actor that asked, if it still exists. Threads: any.
struct store_teller {
  caf::weak_actor_ptr asker;
  std::shared_ptr<at_once> here;
  uint64_t request;
  void operator()(store_answer answer) const {
    if (std::this_thread::get_id() == here->asker && here->asking) {
      here->answer.emplace(std::move(answer));
      return;
    }
    answer.request = request;
    if (const auto alive = asker.lock())
      caf::anon_send(caf::actor_cast<caf::actor>(alive), caf::ok_atom::value, std::move(answer));
  }
};

/// The answer of what changes something.
auto changed(const store_teller& tell) {
  return [tell](bool done, std::exception_ptr failure) { tell({std::move(failure), done}); };
}

} // namespace

/// `start(tell)` asks.
template <class Start>
void store_client::ask(done then, Start start) {
  const store_teller tell{asker_, std::make_shared<at_once>(), ++requests_};
  try {
    start(tell);
  } catch (...) {
    tell({std::current_exception()});
  }
  tell.here->asking = false;
  if (tell.here->answer)
    return then(*tell.here->answer);
  asked_.emplace(tell.request, std::move(then));
}

void store_client::put(stored_keyframe frame, done then) {
  ask(std::move(then), [&](const store_teller& tell) { store_->put(std::move(frame), changed(tell)); });
}

void store_client::get(const keyframe_id& id, done then) {
  ask(std::move(then), [&](const store_teller& tell) {
    store_->get(id, [tell](std::optional<stored_keyframe> frame, std::exception_ptr failure) {
      tell({std::move(failure), false, std::move(frame)});
    });
  });
}

void store_client::erase(const keyframe_id& id, done then) {
  ask(std::move(then), [&](const store_teller& tell) { store_->erase(id, changed(tell)); });
}

void store_client::set_place(const keyframe_id& id, const keyframe_place& to, done then) {
  ask(std::move(then), [&](const store_teller& tell) { store_->set_place(id, to, changed(tell)); });
}

void store_client::remember(const retraction& what, done then) {
  ask(std::move(then), [&](const store_teller& tell) { store_->remember(what, changed(tell)); });
}

void store_client::forget_retraction(const keyframe_id& id, done then) {
  ask(std::move(then), [&](const store_teller& tell) { store_->forget_retraction(id, changed(tell)); });
}

void store_client::quarantine(quarantined_keyframe what, done then) {
  ask(std::move(then), [&](const store_teller& tell) { store_->quarantine(std::move(what), changed(tell)); });
}

void store_client::release(const keyframe_id& id, done then) {
  ask(std::move(then), [&](const store_teller& tell) { store_->release(id, changed(tell)); });
}

void store_client::answered(store_answer& answer) {
  if (const auto asked = asked_.extract(answer.request))
    asked.mapped()(answer);
}

void store_client::close() {
  asked_.clear();
  store_ = nullptr;
}

} // namespace tessera
