#include "actors/supervision/region_meshers.hpp"

namespace tessera {

const region_meshers::mesher* region_meshers::find(region_key region) const {
  const auto i = meshers_.find(region);
  return i == meshers_.end() ? nullptr : &i->second;
}

bool region_meshers::wait(region_key region, promise who) {
  auto& waiting = needed_[region];
  waiting.push_back(std::move(who));
  return waiting.size() == 1 && !meshers_.contains(region);
}

bool region_meshers::is_needed(region_key region) const {
  const auto* before = find(region);
  return needed_.contains(region) && !(before && before->ending);
}

std::vector<region_key> region_meshers::needed() const {
  std::vector<region_key> out;
  for (const auto& [region, waiting] : needed_)
    out.push_back(region);
  return out;
}

std::vector<region_meshers::promise> region_meshers::take(region_key region) {
  auto found = needed_.extract(region);
  return found ? std::move(found.mapped()) : std::vector<promise>{};
}

void region_meshers::forget_waiting() {
  std::erase_if(needed_, [](const auto& one) { return !one.second.empty(); });
}

region_meshers::mesher region_meshers::next(region_key region, device_id device, life::time_point now) {
  mesher out{{}, device, ++started_, life{now}};
  out.shown = std::make_shared<surface_mark::element_type>(0);
  if (const auto* before = find(region)) {
    out.shown = before->shown;
    out.fared = before->fared;
    out.fared.restart(now);
  }
  return out;
}

mesher_setup region_meshers::let_end(region_key region) {
  const auto i = meshers_.find(region);
  if (i == meshers_.end())
    return {};
  i->second.ending = true;
  return i->second.handle;
}

std::optional<std::chrono::milliseconds> region_meshers::lost(region_key region, const caf::error& reason, life::time_point now) {
  auto& one = meshers_.at(region);
  if (one.ending && reason == caf::exit_reason::user_shutdown) {
    meshers_.erase(region);
    return std::nullopt;
  }
  one.ending = false; // viewers may not know yet that the region is empty: its successor tells
  one.fared.end(now, reason == caf::exit_reason::kill);
  return one.fared.pause();
}

} // namespace tessera
