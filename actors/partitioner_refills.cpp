// What new meshers must be sent again from the store.

#include "actors/partitioner_class.hpp"

namespace tessera::detail {

void partitioner::refill(const region_key& region, const mesher_actor& mesher) {
  auto& entry = regions_[region];
  entry.mesher = mesher;
  entry.down = false;
  entry.questions = 0;
  std::set<uint64_t> placements;
  for (const auto& [id, keyframe] : live_)
    for (const auto& place : keyframe.placements)
      if (place.in(region))
        placements.insert(place.serial);
  entry.held_back.clear(); // covered by the set above, like all that was sent to the dead mesher
  book_.start(region, std::move(placements));
  for (auto token : std::set<uint64_t>{entry.jobs})
    answered(token);
  end_refill(region);
  restart_gathers();
  refill_step();
}

void partitioner::refill_later(std::chrono::milliseconds pause) {
  if (std::exchange(refill_tick_, true))
    return;
  if (pause.count() > 0)
    delayed_send(partitioner_self{this}, pause, caf::tick_atom::value);
  else
    send(partitioner_self{this}, caf::tick_atom::value);
}

void partitioner::refill_step() {
  if (recovering() || refill_tick_ || refill_jobs_ >= config_.refill_credit)
    return;
  auto due = book_.take();
  if (!due)
    return;
  const auto id = id_of_.at(due->placement); // what is taken out is cancelled in the book
  const placement* place = nullptr;
  for (const auto& p : live_.at(id).placements)
    if (p.serial == due->placement)
      place = &p;
  hindered by;
  const auto parts = split(id, place->world_from_camera, by);
  if (!parts && by.why != hindrance::internal) { // a region without this part must not be shown, nor summed up
    for (const auto& region : due->regions)
      book_.add(region, due->placement);
    return refill_later(memory_pause);
  }
  if (parts) {
    for (const auto& part : parts->parts) {
      if (std::find(due->regions.begin(), due->regions.end(), part.region) == due->regions.end())
        continue;
      ++refill_jobs_;
      send_job(part.region, {parts->batch, part.first, part.count, place->world_from_camera, +1, 0, 0},
               {nullptr, due->placement});
    }
  }
  for (const auto& region : due->regions)
    end_refill(region);
  refill_later(std::chrono::milliseconds{0});
}

void partitioner::end_refill(const region_key& region) {
  if (recovering() || !book_.active(region) || !book_.all_sent(region))
    return;
  const auto& entry = regions_[region];
  for (auto token : entry.jobs)
    if (!sent_.at(token).why.for_change)
      return;
  book_.finish(region);
  if (entry.mesher) // else one that starts empty
    send(entry.mesher, refill_atom::value, false);
  note_idle(region);
  try_gathers();
}

void partitioner::end_refills() {
  for (const auto& region : book_.regions())
    end_refill(region);
}

} // namespace tessera::detail
