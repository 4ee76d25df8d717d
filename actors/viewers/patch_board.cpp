#include "actors/viewers/patch_board.hpp"

#include <algorithm>
#include <atomic>

namespace tessera {

namespace {

/// Frames with cells of one version that are kept, besides those that came last: others are made again if somebody wants them.
constexpr size_t kept_cells = 16;

/// What is known of a version, and what was encoded of it since.
patch both(const patch& known, patch newest) {
  if (!newest.frame)
    newest.frame = known.frame;
  newest.no_cells = newest.no_cells || known.no_cells;
  for (const auto& one : known.cells)
    if (newest.cells.size() < kept_cells && !newest.in({true, one.base}))
      newest.cells.push_back(one);
  return newest;
}

/// Has frames that the known one of its version has not.
bool adds(const patch& came, const patch& known) {
  return (came.frame && !known.frame) || (came.no_cells && !known.no_cells)
         || std::any_of(came.cells.begin(), came.cells.end(), [&](const cells_frame& one) {
              return !known.in({true, one.base});
            });
}

} // namespace

const patch* patch_board::find(const region_key& region) const {
  const auto& in = shards_[shard_of(region)];
  if (!in)
    return nullptr;
  const auto i = in->find(region);
  return i != in->end() ? &i->second : nullptr;
}

patch_board::shard& patch_board::own(std::shared_ptr<shard>& in) {
  if (!in)
    in = std::make_shared<shard>();
  else if (in.use_count() > 1)
    in = std::make_shared<shard>(*in); // somebody has a picture of it
  else
    std::atomic_thread_fence(std::memory_order_acquire); // after the last read by whoever had a picture
  return *in;
}

void patch_board::forget_turn(const region_key& region) {
  if (const auto i = turn_of_.find(region); i != turn_of_.end()) {
    encoded_.erase(i->second);
    turn_of_.erase(i);
  }
}

std::optional<region_key> patch_board::let_frames_go() {
  if (encoded_.empty())
    return {};
  const auto region = encoded_.begin()->second;
  forget_turn(region);
  auto& its = own(shards_[shard_of(region)]).at(region);
  bytes_ -= its.bytes();
  its.frame = nullptr;
  its.cells.clear();
  return region;
}

bool patch_board::put(const patch& came) {
  const patch* const known = find(came.region);
  if (known == nullptr ? came.triangles == 0
                       : known->version > came.version || (known->version == came.version && !adds(came, *known)))
    return false;
  const auto old = known != nullptr ? *known : patch{};
  const auto newest = known != nullptr && known->version == came.version ? both(*known, came) : came;
  auto& in = shards_[shard_of(newest.region)];
  own(in);
  if (newest.version != old.version || known == nullptr)
    forget_turn(newest.region);
  if (newest.triangles > 0 && newest.encoded() && turn_of_.try_emplace(newest.region, turns_).second)
    encoded_.emplace(turns_++, newest.region);
  if (newest.triangles > 0)
    (*in)[newest.region] = newest;
  else if (in->erase(newest.region); in->empty())
    in = nullptr;
  const auto count = [](const patch& p) { return static_cast<uint64_t>(p.triangles > 0); };
  const auto bytes = newest.triangles > 0 ? newest.bytes() : 0;
  regions_ += count(newest) - count(old);
  vertices_ += uint64_t{newest.vertices} - old.vertices;
  triangles_ += uint64_t{newest.triangles} - old.triangles;
  bytes_ += bytes - old.bytes();
  return true;
}

patch patch_board::get(const region_key& region) const {
  if (const auto* known = find(region))
    return *known;
  patch none;
  none.region = region;
  return none;
}

std::vector<patch> patch_board::all() const {
  std::vector<patch> out;
  out.reserve(regions_);
  for (const auto& in : shards_)
    if (in)
      for (const auto& [region, newest] : *in)
        out.push_back(newest);
  std::sort(out.begin(), out.end(), [](const patch& a, const patch& b) { return a.region < b.region; });
  return out;
}

void patch_board::put(const std::vector<camera>& changed) {
  for (const auto& c : changed) {
    if (c.gone)
      cameras_.erase(c.id);
    else
      cameras_.put(c);
  }
}

} // namespace tessera
