#include "actors/patch_board.hpp"

#include <unordered_map>

namespace tessera {

namespace {

uint64_t size_of(const patch& p) {
  return p.frame ? p.frame->size() : 0;
}

} // namespace

bool patch_board::put(const patch& newest) {
  auto i = newest_.find(newest.region);
  if (i == newest_.end()) {
    if (newest.triangles == 0)
      return false;
    i = newest_.emplace(newest.region, patch{}).first;
  } else if (i->second.version >= newest.version) {
    return false;
  }
  auto& kept = i->second;
  regions_ += static_cast<uint64_t>(newest.triangles > 0) - static_cast<uint64_t>(kept.triangles > 0);
  vertices_ += uint64_t{newest.vertices} - kept.vertices;
  triangles_ += uint64_t{newest.triangles} - kept.triangles;
  bytes_ += size_of(newest) - size_of(kept);
  kept = newest;
  return true;
}

std::vector<patch> patch_board::missing(const subscribe& wish, const std::string& epoch) const {
  std::unordered_map<region_key, uint64_t> have;
  if (wish.epoch == epoch)
    for (const auto& held : wish.have)
      have[held.region] = held.version;
  std::vector<patch> out;
  for (const auto& [region, newest] : newest_) {
    auto held = have.find(region);
    if (held == have.end() ? newest.triangles > 0 : held->second != newest.version)
      out.push_back(newest);
  }
  return out;
}

std::vector<held_patch> patch_board::unknown(const subscribe& wish, const std::string& epoch) const {
  std::vector<held_patch> out;
  if (wish.epoch == epoch)
    for (const auto& held : wish.have)
      if (!newest_.contains(held.region))
        out.push_back(held);
  return out;
}

patch patch_board::get(const region_key& region) const {
  auto i = newest_.find(region);
  if (i != newest_.end())
    return i->second;
  patch none;
  none.region = region;
  return none;
}

std::vector<patch> patch_board::all() const {
  std::vector<patch> out;
  out.reserve(newest_.size());
  for (const auto& [region, newest] : newest_)
    if (newest.triangles > 0)
      out.push_back(newest);
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
