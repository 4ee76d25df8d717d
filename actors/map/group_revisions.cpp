#include "actors/map/group_revisions.hpp"

#include <algorithm>

namespace tessera {

std::optional<uint64_t> group_revisions::find(const std::string& group) const {
  const auto found = of_.find(group);
  return found == of_.end() ? std::nullopt : found->second.largest;
}

void group_revisions::enter(const std::string& group, uint64_t number) {
  const auto at = of_.try_emplace(group).first;
  auto& its = at->second;
  its.largest = std::max(its.largest.value_or(number), number);
  leave_idle(its);
  if (its.live == 0)
    become_idle(at->first, its);
}

void group_revisions::came(const std::string& group) {
  if (group.empty())
    return;
  auto& its = of_[group];
  ++its.live;
  leave_idle(its);
}

void group_revisions::went(const std::string& group) {
  const auto at = of_.find(group);
  if (at == of_.end() || at->second.live == 0 || --at->second.live > 0)
    return;
  if (at->second.largest)
    become_idle(at->first, at->second);
  else
    of_.erase(at);
}

void group_revisions::keep_newest(size_t most) {
  while (idle_.size() > most) {
    const auto oldest = idle_.begin();
    const auto group = of_.find(*oldest->second);
    idle_.erase(oldest);
    of_.erase(group);
  }
}

void group_revisions::leave_idle(entry& its) {
  idle_.erase(its.since);
  its.since = 0;
}

void group_revisions::become_idle(const std::string& group, entry& its) {
  its.since = ++order_;
  idle_.emplace(its.since, &group);
}

} // namespace tessera
