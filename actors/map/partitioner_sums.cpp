// What is asked of all regions, after all changes that came before.

#include "actors/base/peer_loss.hpp"
#include "actors/map/partitioner_class.hpp"

namespace tessera::detail {

namespace {

/// How often a sum over all regions is started again because a mesher died under it.
constexpr int gather_attempts = 100;

} // namespace

template <class Answer, class Make>
caf::typed_response_promise<Answer> partitioner::gather(bool of_meshes, Make make) {
  // Whoever waits for answers holds the promise through the job, so that it can be taken from all of them at once.
  auto promise
    = std::make_shared<caf::typed_response_promise<Answer>>(make_response_promise<caf::typed_response_promise<Answer>>());
  const auto out = *promise;
  if (!made_again_) { // that may take minutes: whoever asks shall not wait
    promise->deliver(being_made_again());
    return out;
  }
  auto g = std::make_shared<gather_job>();
  g->of_meshes = of_meshes;
  g->after = changes_.numbered();
  g->answer = [promise, make](gather_job& all) { std::exchange(*promise, {}).deliver(make(all)); };
  g->fail = [promise](const caf::error& err) { std::exchange(*promise, {}).deliver(err); };
  gathers_.push_back(std::move(g));
  try_gathers();
  return out;
}

/// All is asked of devices in a quiet moment, so that no keyframe is there in part. They answer later, and take others meanwhile.
void partitioner::ask_all(const gather_ptr& g) {
  if (!may_gather()) {
    gathers_.push_back(g);
    return;
  }
  ++g->attempts;
  g->statuses.clear();
  g->meshes.clear();
  g->left = 1; // this
  running_.push_back(g);
  for (auto& [region, entry] : regions_) {
    ask_device(g, region);
    if (entry.mesher && !g->of_meshes)
      ask_mesher(g, region, entry);
  }
  answered(g, g->attempts, [] {});
}

template <class F>
void partitioner::answered(const gather_ptr& g, int attempt, F enter) {
  if (g->attempts != attempt)
    return; // it was started again
  enter();
  if (--g->left > 0)
    return;
  std::erase(running_, g);
  std::sort(g->meshes.begin(), g->meshes.end(), [](const auto& x, const auto& y) { return x.region < y.region; });
  g->answer(*g);
}

void partitioner::ask_device(const gather_ptr& g, const region_key& region) {
  ++g->left;
  const auto owner = *devices_.owner(region);
  const auto failed = [this, g, attempt = g->attempts, owner](caf::error& err) {
    if (g->attempts != attempt)
      return;
    if (is_device_loss(err)) {
      ++g->attempts; // answers to this attempt no longer count
      std::erase(running_, g);
      with_others(owner.handle, [this, g] { restart(g); });
    } else {
      give_up(g, err);
    }
  };
  if (g->of_meshes)
    request(owner.handle, caf::infinite, mesh_atom::value, region)
      .then([this, g,
             attempt = g->attempts](region_mesh& its) { answered(g, attempt, [&] { g->meshes.push_back(std::move(its)); }); },
            failed);
  else
    request(owner.handle, caf::infinite, status_atom::value, region)
      .then(
        [this, g, attempt = g->attempts, owner, region](const field_stats& its) {
          answered(g, attempt, [&] {
            auto& status = g->statuses[region];
            status.region = region;
            status.device = owner.id;
            status.field = its;
          });
        },
        failed);
}

void partitioner::ask_mesher(const gather_ptr& g, const region_key& region, region_entry& entry) {
  ++g->left;
  ++entry.questions;
  request(entry.mesher, config_.request_timeout, status_atom::value)
    .then(
      [this, g, attempt = g->attempts, region, mesher = entry.mesher](region_status& its) {
        question_done(region, mesher);
        answered(g, attempt, [&] {
          auto& status = g->statuses[region];
          its.field = status.field;
          its.device = devices_.owner(region)->id;
          status = its;
        });
      },
      [this, g, attempt = g->attempts, region, mesher = entry.mesher](caf::error& err) {
        const auto dead = is_peer_loss(err);
        if (auto* its_entry = question_done(region, mesher); dead && its_entry != nullptr)
          its_entry->down = true; // its successor is on its way
        if (g->attempts != attempt)
          return;
        if (dead)
          restart(g);
        else
          give_up(g, err);
      });
}

partitioner::region_entry* partitioner::question_done(const region_key& region, const mesher_actor& mesher) {
  const auto i = regions_.find(region);
  if (i == regions_.end() || i->second.mesher != mesher)
    return nullptr; // the mesher has a successor, and the region perhaps none
  --i->second.questions;
  return &i->second;
}

caf::typed_response_promise<map_status> partitioner::ask_status() {
  return gather<map_status>(false, [this](const gather_job& all) { return sum(all.statuses); });
}

caf::typed_response_promise<std::vector<region_status>> partitioner::ask_regions() {
  return gather<std::vector<region_status>>(false, [](const gather_job& all) {
    std::vector<region_status> out;
    for (const auto& [region, status] : all.statuses)
      out.push_back(status);
    return out;
  });
}

caf::typed_response_promise<std::vector<region_mesh>> partitioner::ask_meshes() {
  return gather<std::vector<region_mesh>>(true, [](gather_job& all) { return std::move(all.meshes); });
}

void partitioner::restart(gather_ptr g) {
  if (g->attempts >= gather_attempts)
    return give_up(g, caf::make_error(ec::restarting, std::string{"regions keep being started again"}));
  ++g->attempts; // answers to the last attempt no longer count
  std::erase(running_, g);
  gathers_.push_back(std::move(g));
  try_gathers();
}

void partitioner::restart_gathers() {
  for (const auto& g : std::vector<gather_ptr>{running_})
    restart(g);
}

void partitioner::give_up(const gather_ptr& g, const caf::error& err) {
  ++g->attempts;
  std::erase(running_, g);
  g->fail(err);
}

bool partitioner::may_gather() const {
  return !recovering() && book_.empty() && !fresh_ && with_others_.empty() && unfinished_ == 0
         && std::none_of(regions_.begin(), regions_.end(), [](const auto& one) { return one.second.down; });
}

void partitioner::try_gathers() {
  if (gathers_.empty() && made_again_)
    return;
  if (!may_gather())
    return;
  made_again_ = true;
  std::vector<gather_ptr> now_due;
  std::erase_if(gathers_, [&](const gather_ptr& g) {
    const auto is_due = changes_.done(g->after);
    if (is_due)
      now_due.push_back(g);
    return is_due;
  });
  for (const auto& g : now_due)
    when_quiet([this, g] { ask_all(g); });
}

map_status partitioner::sum(const std::map<region_key, region_status>& answers) const {
  map_status out;
  out.epoch = config_.epoch;
  out.keyframes = live_.size();
  out.rays = live_.rays();
  out.voxel_m = config_.map.voxel_m;
  out.truncation_m = config_.map.truncation_m;
  out.region_voxels = config_.map.region_voxels;
  const auto edge = config_.map.voxel_m * static_cast<float>(config_.map.region_voxels);
  for (const auto& [at, r] : answers) {
    out.field.hash += r.field.hash;
    out.field.blocks += r.field.blocks;
    out.field.voxels += r.field.voxels;
    out.field.bytes += r.field.bytes;
    out.vertices += r.vertices;
    out.triangles += r.triangles;
    if (r.field.blocks == 0)
      continue;
    const std::array<int32_t, 3> key{r.region.x, r.region.y, r.region.z};
    for (size_t i = 0; i < 3; ++i) {
      const auto low = static_cast<float>(key[i]) * edge;
      const auto high = low + edge;
      out.bounds[i] = out.regions == 0 ? low : std::min(out.bounds[i], low);
      out.bounds[i + 3] = out.regions == 0 ? high : std::max(out.bounds[i + 3], high);
    }
    ++out.regions;
  }
  return out;
}

} // namespace tessera::detail
