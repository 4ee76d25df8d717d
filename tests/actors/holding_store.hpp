#pragma once
// A keyframe store that holds back what is asked of it about some keyframes, until the test lets it go; and that can refuse.

#include "actors/store/keyframe_store.hpp"

#include <cerrno>
#include <functional>
#include <set>
#include <system_error>
#include <utility>
#include <vector>

namespace tessera::toy {

/// Threads: the test's.
class holding_store final : public keyframe_store {
public:
  explicit holding_store(std::shared_ptr<keyframe_store> its) : its_{std::move(its)} {}

  std::set<keyframe_id> held_gets, held_puts;
  bool remembers = true; ///< else retractions cannot be stored

  /// Does what was held, in its order, and holds nothing any more.
  void release() {
    held_gets.clear();
    held_puts.clear();
    for (const auto& go : std::exchange(held_, {}))
      go();
  }

  void put(stored_keyframe frame, done answer) override {
    if (!held_puts.contains(frame.id))
      return its_->put(std::move(frame), std::move(answer));
    held_.push_back([this, frame, answer] { its_->put(frame, answer); });
  }
  void get(const keyframe_id& id, got answer) override {
    if (!held_gets.contains(id))
      return its_->get(id, std::move(answer));
    held_.push_back([this, id, answer] { its_->get(id, answer); });
  }
  void erase(const keyframe_id& id, done answer) override { its_->erase(id, std::move(answer)); }
  void set_place(const keyframe_id& id, const keyframe_place& to, done answer) override {
    its_->set_place(id, to, std::move(answer));
  }
  void remember(const retraction& what, done answer) override {
    if (!remembers)
      return answer(false, std::make_exception_ptr(std::system_error(ENOSPC, std::generic_category(), "the toy disk is full")));
    its_->remember(what, std::move(answer));
  }
  void forget_retraction(const keyframe_id& id, done answer) override { its_->forget_retraction(id, std::move(answer)); }
  [[nodiscard]] std::optional<retraction> retracted(const keyframe_id& id) const override { return its_->retracted(id); }
  [[nodiscard]] std::vector<retraction> retractions() const override { return its_->retractions(); }
  [[nodiscard]] std::vector<keyframe_id> ids() const override { return its_->ids(); }
  [[nodiscard]] std::map<std::string, uint64_t> group_revisions() const override { return its_->group_revisions(); }
  [[nodiscard]] store_usage usage() const override { return its_->usage(); }
  void stop() override { its_->stop(); }

private:
  std::shared_ptr<keyframe_store> its_;
  std::vector<std::function<void()>> held_;
};

} // namespace tessera::toy
