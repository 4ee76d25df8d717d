#include "actors/base/quarantine_board.hpp"

namespace tessera {

std::string why_out(const quarantined_keyframe& one) {
  return "keyframe_id " + shown(one.id) + " is in quarantine: " + one.reason + ". Retract it, and it may come again";
}

void quarantine_board::assign(std::vector<quarantined_keyframe> those) {
  const std::lock_guard lock{mutex_};
  newest_.clear();
  of_id_.clear();
  for (auto& one : those)
    put(std::move(one));
  while (newest_.size() > capacity)
    remove(std::prev(newest_.end()));
  size_ = newest_.size();
}

std::optional<keyframe_id> quarantine_board::enter(quarantined_keyframe one) {
  if (one.reason.size() > max_text)
    one.reason.resize(max_text);
  auto line = "keyframe " + shown(one.id) + " of " + one.source + " is in quarantine: " + one.reason;
  for (char& c : line) // ids come from outside: they must not forge lines of the log
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      c = '?';
  std::optional<keyframe_id> forgotten;
  {
    const std::lock_guard lock{mutex_};
    put(std::move(one));
    if (newest_.size() > capacity) {
      forgotten = newest_.back().id;
      remove(std::prev(newest_.end()));
    }
    size_ = newest_.size();
    ++entered_;
  }
  if (log_)
    log_(severity::error, line);
  return forgotten;
}

bool quarantine_board::erase(const keyframe_id& id) {
  const std::lock_guard lock{mutex_};
  const auto i = of_id_.find(id);
  if (i == of_id_.end())
    return false;
  remove(i->second);
  size_ = newest_.size();
  return true;
}

std::optional<quarantined_keyframe> quarantine_board::find(const keyframe_id& id) const {
  if (size() == 0)
    return {};
  const std::lock_guard lock{mutex_};
  const auto i = of_id_.find(id);
  return i == of_id_.end() ? std::nullopt : std::optional{*i->second};
}

std::vector<quarantined_keyframe> quarantine_board::list() const {
  const std::lock_guard lock{mutex_};
  return {newest_.begin(), newest_.end()};
}

void quarantine_board::put(quarantined_keyframe one) {
  if (const auto i = of_id_.find(one.id); i != of_id_.end())
    remove(i->second);
  newest_.push_front(std::move(one));
  of_id_[newest_.front().id] = newest_.begin();
}

void quarantine_board::remove(entries::iterator which) {
  of_id_.erase(which->id);
  newest_.erase(which);
}

} // namespace tessera
