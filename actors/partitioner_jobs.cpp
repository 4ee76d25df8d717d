// Jobs on their way to meshers: placed, handed over, answered, refused or lost.

#include "actors/partitioner_class.hpp"

namespace tessera::detail {

loss loss_of(const caf::error& err) {
  if (err == ec::out_of_memory)
    return loss::refused;
  if (err == caf::sec::request_timeout)
    return loss::late;
  return loss::dead;
}

void partitioner::send_job(const region_key& region, ray_job job, purpose why) {
  const auto token = ++tokens_;
  sent_.emplace(token, sent_job{region, job.sign > 0, std::move(why)});
  auto& entry = regions_[region];
  entry.jobs.insert(token);
  if (entry.mesher)
    return hand_over(region, entry, token, std::move(job));
  entry.held_back.emplace_back(token, std::move(job));
  if (std::exchange(entry.asked, true))
    return;
  request(supervisor_, config_.request_timeout, place_atom::value, region)
    .then([this, region](const mesher_actor& mesher) { placed(region, mesher); },
          [this, region](caf::error& err) { not_placed(region, err); });
}

void partitioner::hand_over(const region_key& region, region_entry& entry, uint64_t token, ray_job job) {
  request(entry.mesher, config_.request_timeout, integrate_atom::value, std::move(job))
    .then([this, token] { answered(token); }, [this, token, region](caf::error& err) { lost(token, region, err); });
}

void partitioner::placed(const region_key& region, const mesher_actor& mesher) {
  const auto i = regions_.find(region);
  if (i == regions_.end())
    return end_mesher(region, mesher); // a refill came first, and the region was done with before this
  auto& entry = i->second;
  if (!entry.mesher) // else a refill came first
    entry.mesher = mesher;
  for (auto& [token, job] : std::exchange(entry.held_back, {}))
    hand_over(region, entry, token, std::move(job));
}

void partitioner::not_placed(const region_key& region, const caf::error& err) {
  auto& entry = regions_[region];
  entry.asked = false;
  record().set_error(describe(err));
  for (auto& [token, job] : std::exchange(entry.held_back, {})) {
    if (auto i = sent_.find(token); i != sent_.end())
      not_taken(i->second, err);
    answered(token);
  }
}

void partitioner::not_taken(const sent_job& job, const caf::error& err) {
  const auto& c = job.why.for_change;
  if (!c || !job.adds)
    return;
  c->not_taken.push_back(hindered_by(err));
  regions_[job.region].placements -= std::erase(live_.at(c->id).placements.back().regions, job.region);
}

void partitioner::answered(uint64_t token) {
  auto i = sent_.find(token);
  if (i == sent_.end())
    return; // answered by a refill
  auto job = std::move(i->second);
  sent_.erase(i);
  regions_[job.region].jobs.erase(token);
  note_idle(job.region);
  if (job.why.for_change)
    return settle(job.why.for_change);
  --refill_jobs_;
  end_refill(job.region);
  refill_step();
}

void partitioner::lost(uint64_t token, const region_key& region, const caf::error& err) {
  auto i = sent_.find(token);
  if (i == sent_.end())
    return;
  switch (loss_of(err)) {
  case loss::refused:
    if (i->second.why.for_change) {
      not_taken(i->second, err);
    } else if (id_of_.contains(i->second.why.refills)) {
      book_.add(region, i->second.why.refills);
      refill_later(memory_pause);
    }
    break;
  case loss::late:
    record().set_error("a mesher did not answer in time");
    break;
  case loss::dead:
    regions_[region].down = true;
    break;
  }
  answered(token);
}

} // namespace tessera::detail
