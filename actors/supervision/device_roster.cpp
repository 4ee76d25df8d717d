#include "actors/supervision/device_roster.hpp"

#include <algorithm>

namespace tessera {

namespace {

/// Failures in a row after which a device is not started again. Of the last one more are borne: it may die over each of the
/// regions that a keyframe touches before that is found to be at fault.
constexpr uint32_t most = 5, most_of_spare = 20;

} // namespace

device_roster::device_roster(device_table first, device_id spare, life::time_point now)
  : table_{std::move(first)}, spare_{spare} {
  for (const auto& one : table_.devices)
    lives_.emplace(one.id, life{now});
}

const placed_device* device_roster::find(device_id id) const {
  const auto i = std::find_if(table_.devices.begin(), table_.devices.end(), [&](const placed_device& d) { return d.id == id; });
  return i == table_.devices.end() ? nullptr : &*i;
}

device_roster::remedy device_roster::lost(device_id id, const caf::error& reason, life::time_point now) {
  auto& fared = lives_.at(id);
  fared.end(now, reason == caf::exit_reason::kill);
  if (fared.hopeless(id == spare_ ? most_of_spare : most) || (reason == ec::device_failed && id != spare_))
    return cannot_restart(id);
  return remedy::restart;
}

void device_roster::replace(device_id id, device_actor successor, life::time_point now) {
  for (auto& one : table_.devices)
    if (one.id == id)
      one.handle = std::move(successor);
  lives_.at(id).restart(now);
}

bool device_roster::retire(device_id id) {
  table_.lost |= uint64_t{1} << find(id)->index;
  std::erase_if(table_.devices, [&](const placed_device& d) { return d.id == id; });
  lives_.erase(id);
  return !table_.devices.empty();
}

void device_roster::take_over(device_actor spare, life::time_point now) {
  table_ = {{{spare_, std::move(spare), 0}}, 1, 0};
  lives_.emplace(spare_, life{now});
}

} // namespace tessera
