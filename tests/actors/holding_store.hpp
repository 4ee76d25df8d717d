#pragma once
// A keyframe store that holds back what is asked of it about some keyframes, until the test lets it go; and that can refuse.

#include "actors/store/keyframe_store.hpp"

#include <algorithm>
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
    for (const auto& [id, go] : std::exchange(held_, {}))
      go();
  }

  void put(stored_keyframe frame, done answer) override {
    const auto id = frame.id;
    ask(id, held_puts.contains(id), [this, frame = std::move(frame), answer] { its_->put(frame, answer); });
  }
  void get(const keyframe_id& id, got answer) override {
    ask(id, held_gets.contains(id), [this, id, answer] { its_->get(id, answer); });
  }
  void erase(const keyframe_id& id, done answer) override {
    ask(id, false, [this, id, answer] { its_->erase(id, answer); });
  }
  void set_place(const keyframe_id& id, const keyframe_place& to, done answer) override {
    ask(id, false, [this, id, to, answer] { its_->set_place(id, to, answer); });
  }
  void remember(const retraction& what, done answer) override {
    if (!remembers)
      return answer(false, std::make_exception_ptr(std::system_error(ENOSPC, std::generic_category(), "the toy disk is full")));
    ask(what.id, false, [this, what, answer] { its_->remember(what, answer); });
  }
  void forget_retraction(const keyframe_id& id, done answer) override {
    ask(id, false, [this, id, answer] { its_->forget_retraction(id, answer); });
  }
  [[nodiscard]] std::optional<retraction> retracted(const keyframe_id& id) const override { return its_->retracted(id); }
  [[nodiscard]] std::vector<retraction> retractions() const override { return its_->retractions(); }
  void quarantine(quarantined_keyframe what, done answer) override { its_->quarantine(std::move(what), std::move(answer)); }
  void release(const keyframe_id& id, done answer) override { its_->release(id, std::move(answer)); }
  [[nodiscard]] std::vector<quarantined_keyframe> quarantined() const override { return its_->quarantined(); }
  [[nodiscard]] std::vector<std::pair<keyframe_id, std::array<float, 3>>> cameras() const override { return its_->cameras(); }
  [[nodiscard]] std::vector<keyframe_id> ids() const override {
    auto out = its_->ids();
    for (const auto& [id, go] : held_)
      if (std::find(out.begin(), out.end(), id) == out.end())
        out.push_back(id);
    return out;
  }
  [[nodiscard]] std::map<std::string, uint64_t> group_revisions() const override { return its_->group_revisions(); }
  [[nodiscard]] store_usage usage() const override { return its_->usage(); }
  [[nodiscard]] std::vector<store_pulse> pulses() const override { return its_->pulses(); }
  void stop() override { its_->stop(); }

private:
  /// What is asked about one keyframe is done in order.
  void ask(const keyframe_id& id, bool holds, std::function<void()> go) {
    if (holds || std::any_of(held_.begin(), held_.end(), [&](const auto& one) { return one.first == id; }))
      held_.emplace_back(id, std::move(go));
    else
      go();
  }

  std::shared_ptr<keyframe_store> its_;
  std::vector<std::pair<keyframe_id, std::function<void()>>> held_;
};

} // namespace tessera::toy
