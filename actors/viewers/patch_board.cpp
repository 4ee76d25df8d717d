#include "actors/viewers/patch_board.hpp"

#include <algorithm>
#include <atomic>

namespace tessera {

namespace {

uint64_t size_of(const patch& p) {
  return p.frame ? p.frame->size() : 0;
}

} // namespace

const patch* patch_board::find(const region_key& region) const {
  const auto& in = shards_[shard_of(region)];
  if (!in)
    return nullptr;
  const auto i = in->find(region);
  return i != in->end() ? &i->second : nullptr;
}

bool patch_board::put(const patch& newest) {
  const patch* const known = find(newest.region);
  if (known != nullptr ? known->version >= newest.version : newest.triangles == 0)
    return false;
  const auto old = known != nullptr ? *known : patch{};
  auto& in = shards_[shard_of(newest.region)];
  if (!in)
    in = std::make_shared<shard>();
  else if (in.use_count() > 1)
    in = std::make_shared<shard>(*in); // somebody has a picture of it
  else
    std::atomic_thread_fence(std::memory_order_acquire); // after the last read by whoever had a picture
  if (newest.triangles > 0)
    (*in)[newest.region] = newest;
  else if (in->erase(newest.region); in->empty())
    in = nullptr;
  const auto count = [](const patch& p) { return static_cast<uint64_t>(p.triangles > 0); };
  const auto bytes = newest.triangles > 0 ? size_of(newest) : 0;
  regions_ += count(newest) - count(old);
  vertices_ += uint64_t{newest.vertices} - old.vertices;
  triangles_ += uint64_t{newest.triangles} - old.triangles;
  bytes_ += bytes - size_of(old);
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
