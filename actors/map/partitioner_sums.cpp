// What is asked of all regions, after all changes that came before.

#include "actors/base/peer_loss.hpp"
#include "actors/map/device_error.hpp"
#include "actors/map/partitioner_class.hpp"

namespace tessera::detail {

template <class Answer, class Make>
caf::typed_response_promise<Answer> partitioner::gather(bool of_meshes, Make make) {
  auto out = make_response_promise<caf::typed_response_promise<Answer>>();
  if (!made_again_) { // that may take minutes: whoever asks shall not wait
    out.deliver(being_made_again());
    return out;
  }
  const auto g = gathers_.add(of_meshes, changes_.numbered());
  askers_[g->number] = {[out, make](gathering& all) mutable { out.deliver(make(all)); },
                        [out](const caf::error& err) mutable { out.deliver(err); }};
  try_gathers();
  return out;
}

caf::typed_response_promise<map_status> partitioner::ask_status() {
  return gather<map_status>(false, [this](const gathering& all) {
    auto out = sum_of(all.statuses, config_.map);
    out.epoch = config_.epoch;
    out.keyframes = all.keyframes;
    out.rays = all.rays;
    return out;
  });
}

caf::typed_response_promise<std::vector<region_status>> partitioner::ask_regions() {
  return gather<std::vector<region_status>>(false, [](const gathering& all) {
    std::vector<region_status> out;
    for (const auto& [region, status] : all.statuses)
      out.push_back(status);
    return out;
  });
}

caf::typed_response_promise<std::vector<region_mesh>> partitioner::ask_meshes() {
  return gather<std::vector<region_mesh>>(true, [](gathering& all) { return std::move(all.meshes); });
}

bool partitioner::may_gather() const {
  return !recovering() && book_.empty() && !fresh_ && with_others_.empty() && unfinished_ == 0 && !regions_.any_down()
         && trials_.empty();
}

void partitioner::try_gathers() {
  if ((!gathers_.any_waiting() && made_again_) || !may_gather())
    return;
  if (!std::exchange(made_again_, true))
    tell_that_all_is_there();
  for (const auto& g : gathers_.due([this](uint64_t number) { return changes_.done(number); }))
    when_quiet([this, g] { ask_all(g); });
}

/// All is asked of devices in a quiet moment, so that no keyframe is there in part. They answer later, and take others meanwhile.
void partitioner::ask_all(const gathering_ptr& g) {
  if (!may_gather())
    return gathers_.wait(g);
  gathers_.start(g);
  g->keyframes = live_.size();
  g->rays = live_.rays();
  for (auto& [key, its] : regions_) {
    ask_device(g, key);
    if (its.mesher && !g->of_meshes)
      ask_mesher(g, key, its);
  }
  answered(g, g->attempt, [] {});
}

template <class Enter>
void partitioner::answered(const gathering_ptr& g, int attempt, Enter enter) {
  if (gathers_.answered(g, attempt, enter))
    askers_.extract(g->number).mapped().answer(*g);
}

void partitioner::ask_device(const gathering_ptr& g, const region_key& region) {
  ++g->left;
  const auto owner = *devices_.owner(region);
  const auto attempt = g->attempt;
  const auto failed = [this, g, attempt, owner](caf::error& err) {
    if (g->attempt != attempt)
      return;
    if (!is_device_loss(err))
      return give_up(g, err);
    gathers_.stop(g);
    with_others(owner.handle, [this, g] { restart(g); });
  };
  if (g->of_meshes)
    request(owner.handle, caf::infinite, mesh_atom::value, region)
      .then([this, g, attempt](region_mesh& its) { answered(g, attempt, [&] { g->meshes.push_back(std::move(its)); }); }, failed);
  else
    request(owner.handle, caf::infinite, status_atom::value, region)
      .then([this, g, attempt, owner,
             region](const field_stats& its) { answered(g, attempt, [&] { g->enter_field(region, owner.id, its); }); },
            failed);
}

void partitioner::ask_mesher(const gathering_ptr& g, const region_key& key, region_entry& its) {
  ++g->left;
  ++its.questions;
  request(its.mesher, config_.request_timeout, status_atom::value)
    .then(
      [this, g, attempt = g->attempt, key, mesher = its.mesher](const region_status& said) {
        regions_.question_done(key, mesher);
        answered(g, attempt, [&] { g->enter_surface(said, devices_.owner(key)->id); });
      },
      [this, g, attempt = g->attempt, key, mesher = its.mesher](caf::error& err) {
        const auto dead = is_peer_loss(err);
        if (auto* asked = regions_.question_done(key, mesher); dead && asked != nullptr)
          asked->down = true; // its successor is on its way
        if (g->attempt != attempt)
          return;
        if (dead)
          restart(g);
        else
          give_up(g, err);
      });
}

void partitioner::restart(const gathering_ptr& g) {
  if (g->starts >= gatherer::most_starts)
    return give_up(g, caf::make_error(ec::restarting, std::string{"regions keep being started again"}));
  gathers_.stop(g);
  gathers_.wait(g);
  try_gathers();
}

void partitioner::restart_gathers() {
  for (const auto& g : gathers_.running())
    restart(g);
}

void partitioner::give_up(const gathering_ptr& g, const caf::error& err) {
  gathers_.stop(g);
  askers_.extract(g->number).mapped().fail(err);
}

} // namespace tessera::detail
