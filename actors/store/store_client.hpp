#pragma once

#include "actors/store/keyframe_store.hpp"

#include <caf/all.hpp>

#include <memory>
#include <unordered_map>

namespace tessera {

/// What a request to the store came to. Stays in the process.
struct store_answer {
  std::exception_ptr failure;
  bool done = false;                      ///< of what changes something: whether it did
  std::optional<stored_keyframe> frame{}; ///< of what reads
  uint64_t request = 0;
};

} // namespace tessera

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(tessera::store_answer)

namespace tessera {

/// What an actor asks of the store. `then` is done in the actor: at once, if the answer comes at once; else when the actor has
/// given the message of it, (caf::ok_atom, store_answer), to answered(). Threads: the actor's.
class store_client {
public:
  using done = std::function<void(store_answer&)>;

  store_client(std::shared_ptr<keyframe_store> store, caf::weak_actor_ptr asker)
    : store_{std::move(store)}, asker_{std::move(asker)} {}

  void put(stored_keyframe frame, done then);
  void get(const keyframe_id& id, done then);
  void erase(const keyframe_id& id, done then);
  void set_place(const keyframe_id& id, const keyframe_place& to, done then);
  void remember(const retraction& what, done then);
  void forget_retraction(const keyframe_id& id, done then);
  void quarantine(quarantined_keyframe what, done then);
  void release(const keyframe_id& id, done then);
  void answered(store_answer& answer);

  [[nodiscard]] std::optional<retraction> retracted(const keyframe_id& id) const { return store_->retracted(id); }
  [[nodiscard]] std::vector<retraction> retractions() const { return store_->retractions(); }
  [[nodiscard]] std::vector<keyframe_id> ids() const { return store_->ids(); }
  [[nodiscard]] std::vector<kept_keyframe> take_kept() { return store_->take_kept(); }
  [[nodiscard]] std::vector<std::pair<keyframe_id, std::array<float, 3>>> cameras() const { return store_->cameras(); }
  [[nodiscard]] std::vector<quarantined_keyframe> quarantined() const { return store_->quarantined(); }
  [[nodiscard]] std::map<std::string, uint64_t> group_revisions() const { return store_->group_revisions(); }
  [[nodiscard]] store_usage usage() const { return store_->usage(); }

  /// Lets go of the store, whose last owner waits for its thread. The store goes on, and answers nobody.
  void close();

private:
  template <class Start>
  void ask(done then, Start start);

  std::shared_ptr<keyframe_store> store_;
  caf::weak_actor_ptr asker_;
  std::unordered_map<uint64_t, done> asked_; ///< and not answered
  uint64_t requests_ = 0;
};

} // namespace tessera
