// A partitioner's successor finds out again what is live and where.

#include "actors/partitioner_class.hpp"

namespace tessera::detail {

void partitioner::recover() {
  unrecovered_ = store_->ids();
  std::reverse(unrecovered_.begin(), unrecovered_.end());
  made_again_ = unrecovered_.empty();
  if (!made_again_)
    refill_later(std::chrono::milliseconds{0});
}

void partitioner::recover_step() {
  for (uint32_t i = 0; i < config_.recover_at_once && recovering(); ++i) {
    if (!recover(unrecovered_.back()))
      return refill_later(memory_pause);
    unrecovered_.pop_back();
  }
  count_store();
  if (recovering())
    refill_later(std::chrono::milliseconds{0});
  else
    end_recovery();
}

bool partitioner::recover(const keyframe_id& id) {
  stored_keyframe stored;
  partition parts;
  try {
    stored = store_->get(id).value();
    uint64_t beyond = 0;
    parts = config_.rays.split(config_.map, *stored.rays.rays, stored.world_from_camera, beyond);
  } catch (...) {
    if (store_failed(std::current_exception()).why == hindrance::memory)
      return false;
    shared().write(severity::error, "keyframe " + shown(id) + " is lost: its rays could not be read");
    store_->erase(id);
    return true;
  }
  const auto place = make_placement(id, stored.world_from_camera, parts);
  for (const auto& region : place.regions)
    book_.add(region, place.serial); // a mesher that came before gets this too
  live_[id]
    = {stored.timestamp_ns, stored.received_ns, stored.rays.rays->size(), stored.came_with, stored.source, stored.group, {place}};
  return true;
}

void partitioner::end_recovery() {
  if (std::exchange(cameras_due_, false))
    tell_all_cameras();
  for (const auto& all : std::vector<clearing_ptr>{clearings_}) {
    queue(all);
    settle(all);
  }
  std::map<uint64_t, change_ptr> first; // of each id, in the order in which they came
  for (const auto& [id, waiting] : changes_)
    first.emplace(waiting.front()->number, waiting.front());
  end_refills(); // of regions in which nothing is live
  try_gathers();
  refill_later(std::chrono::milliseconds{0});
  for (const auto& [number, c] : first)
    start(c);
}

caf::error partitioner::being_made_again() const {
  auto text = std::string{"the map is being made again after the partitioner ended: "};
  if (recovering())
    text += std::to_string(unrecovered_.size()) + " of " + std::to_string(unrecovered_.size() + live_.size())
            + " keyframes are to be looked at";
  else
    text += std::to_string(book_.regions().size()) + " regions do not have all keyframes yet";
  return caf::make_error(ec::restarting, std::move(text));
}

} // namespace tessera::detail
