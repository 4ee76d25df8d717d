// What is asked of all regions, after all changes that came before.

#include "actors/partitioner_class.hpp"

namespace tessera::detail {

namespace {

/// How often a sum over all regions is started again because a mesher died under it.
constexpr int gather_attempts = 100;

} // namespace

template <class T, class Atom, class Promise, class Make>
void partitioner::gather(Atom question, Promise answer_to, Make make) {
  if (!made_again_) { // that may take minutes: whoever asks shall not wait
    answer_to.deliver(being_made_again());
    return;
  }
  // Whatever waits for answers holds the promise through this, so that it can be taken from all of them at
  // once.
  auto promise = std::make_shared<Promise>(std::move(answer_to));
  auto g = std::make_shared<gather_job>();
  g->after = changes_seen_;
  g->fail = [promise](const caf::error& err) { std::exchange(*promise, {}).deliver(err); };
  g->forget = [promise] { *promise = {}; };
  g->launch = [this, question, promise, make](const gather_ptr& self) {
    auto answers = std::make_shared<std::vector<T>>();
    size_t asked = 0;
    for (const auto& [region, entry] : regions_)
      asked += entry.mesher ? 1 : 0;
    if (asked == 0) {
      std::exchange(*promise, {}).deliver(make(*answers));
      return;
    }
    const auto attempt = ++self->attempts;
    running_.push_back(self);
    for (auto& [region, entry] : regions_) {
      if (!entry.mesher)
        continue;
      ++entry.questions;
      request(entry.mesher, config_.request_timeout, question)
        .then(
          [this, answers, asked, self, attempt, promise, make, at = region, mesher = entry.mesher](T& answer) {
            question_done(at, mesher);
            if (self->attempts != attempt)
              return; // it was started again
            answers->push_back(std::move(answer));
            if (answers->size() < asked)
              return;
            std::erase(running_, self);
            std::sort(answers->begin(), answers->end(), [](const T& x, const T& y) { return x.region < y.region; });
            std::exchange(*promise, {}).deliver(make(*answers));
          },
          [this, self, attempt, at = region, mesher = entry.mesher](caf::error& err) {
            const auto dead = loss_of(err) == loss::dead;
            if (auto* its_entry = question_done(at, mesher); dead && its_entry != nullptr)
              its_entry->down = true; // its successor is on its way
            if (self->attempts != attempt)
              return;
            if (dead)
              restart(self);
            else
              give_up(self, err);
          });
    }
  };
  gathers_.push_back(std::move(g));
  try_gathers();
}

partitioner::region_entry* partitioner::question_done(const region_key& region, const mesher_actor& mesher) {
  const auto i = regions_.find(region);
  if (i == regions_.end() || i->second.mesher != mesher)
    return nullptr; // the mesher has a successor, and the region perhaps none
  --i->second.questions;
  return &i->second;
}

caf::typed_response_promise<map_status> partitioner::ask_status() {
  auto promise = make_response_promise<caf::typed_response_promise<map_status>>();
  gather<region_status>(status_atom::value, promise, [this](const auto& answers) { return sum(answers); });
  return promise;
}

caf::typed_response_promise<std::vector<region_status>> partitioner::ask_regions() {
  auto promise = make_response_promise<caf::typed_response_promise<std::vector<region_status>>>();
  gather<region_status>(status_atom::value, promise, [](const auto& answers) { return answers; });
  return promise;
}

caf::typed_response_promise<std::vector<region_mesh>> partitioner::ask_meshes() {
  auto promise = make_response_promise<caf::typed_response_promise<std::vector<region_mesh>>>();
  gather<region_mesh>(mesh_atom::value, promise, [](const auto& answers) { return answers; });
  return promise;
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

void partitioner::try_gathers() {
  if (recovering() || !book_.empty())
    return;
  for (const auto& [region, entry] : regions_)
    if (entry.down)
      return;
  made_again_ = true;
  std::vector<gather_ptr> now_due;
  std::erase_if(gathers_, [&](const gather_ptr& g) {
    const auto is_due = open_.empty() || *open_.begin() > g->after;
    if (is_due)
      now_due.push_back(g);
    return is_due;
  });
  for (const auto& g : now_due)
    g->launch(g);
}

map_status partitioner::sum(const std::vector<region_status>& answers) const {
  map_status out;
  out.epoch = config_.epoch;
  out.keyframes = live_.size();
  for (const auto& [id, keyframe] : live_)
    out.rays += keyframe.rays;
  out.voxel_m = config_.map.voxel_m;
  out.truncation_m = config_.map.truncation_m;
  out.region_voxels = config_.map.region_voxels;
  const auto edge = config_.map.voxel_m * static_cast<float>(config_.map.region_voxels);
  for (const auto& r : answers) {
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
