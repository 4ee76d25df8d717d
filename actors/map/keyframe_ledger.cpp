#include "actors/map/keyframe_ledger.hpp"

#include <algorithm>

namespace tessera {

namespace {

bool came_before(const keyframe_selection& which, uint64_t admission) {
  return which.admission == 0 || admission < which.admission;
}

} // namespace

bool matches(const keyframe_selection& which, const keyframe_id& id, const keyframe_labels& its) {
  return came_before(which, its.admission) && (!which.session || *which.session == id.session)
         && (!which.source || *which.source == its.source) && (!which.group || *which.group == its.group)
         && (!which.before_ns || (its.timestamp_ns != 0 && its.timestamp_ns < *which.before_ns));
}

bool matches(const keyframe_selection& which, const retraction& of) {
  return came_before(which, of.admission) && (!which.session || *which.session == of.id.session) && !which.source && !which.group
         && !which.before_ns;
}

const live_keyframe* keyframe_ledger::find(const keyframe_id& id) const {
  const auto i = live_.find(id);
  return i == live_.end() ? nullptr : &i->second;
}

std::vector<keyframe_id> keyframe_ledger::matching(const keyframe_selection& which) const {
  std::vector<keyframe_id> out;
  for (const auto& [id, keyframe] : live_)
    if (matches(which, id, {keyframe.source, keyframe.group, keyframe.timestamp_ns, keyframe.admission}))
      out.push_back(id);
  return out;
}

void keyframe_ledger::enter(const keyframe_id& id, live_keyframe keyframe) {
  erase(id);
  groups_.came(keyframe.group);
  live_.emplace(id, std::move(keyframe));
}

void keyframe_ledger::erase(const keyframe_id& id) {
  const auto i = live_.find(id);
  if (i == live_.end())
    return;
  groups_.went(i->second.group);
  live_.erase(i);
}

uint64_t keyframe_ledger::rays() const {
  uint64_t out = 0;
  for (const auto& [id, keyframe] : live_)
    out += keyframe.rays;
  return out;
}

insertion& keyframe_ledger::insert(const keyframe_id& id, const pose& world_from_camera, std::vector<region_key> regions,
                                   uint64_t stamp) {
  const auto serial = ++serials_;
  id_of_[serial] = id;
  return live_.at(id).insertions.emplace_back(insertion{serial, world_from_camera, std::move(regions), stamp});
}

void keyframe_ledger::remove(uint64_t serial) {
  std::erase_if(live_.at(id_of_.at(serial)).insertions, [&](const insertion& one) { return one.serial == serial; });
  id_of_.erase(serial);
}

insertion& keyframe_ledger::inserted(uint64_t serial) {
  auto& all = live_.at(id_of_.at(serial)).insertions;
  return *std::find_if(all.begin(), all.end(), [&](const insertion& one) { return one.serial == serial; });
}

const keyframe_id* keyframe_ledger::id_of(uint64_t serial) const {
  const auto i = id_of_.find(serial);
  return i == id_of_.end() ? nullptr : &i->second;
}

} // namespace tessera
