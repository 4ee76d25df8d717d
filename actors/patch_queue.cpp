#include "actors/patch_queue.hpp"

#include <cmath>

namespace tessera {

namespace {

uint64_t size_of(const patch& p) {
  return p.frame ? p.frame->size() : 0;
}

} // namespace

void patch_queue::put(const patch& newest) {
  auto known = sent_.find(newest.region);
  if (known != sent_.end() && known->second.version >= newest.version)
    return;
  auto [i, fresh] = pending_.try_emplace(newest.region, waiting{newest, turns_});
  if (fresh)
    ++turns_;
  else if (newest.version > i->second.newest.version)
    i->second.newest = newest;
}

double patch_queue::rank(const region_key& region) const {
  const std::array<int32_t, 3> key{region.x, region.y, region.z};
  std::array<double, 3> to{};
  double distance2 = 0, along = 0, length2 = 0;
  for (size_t i = 0; i < 3; ++i) {
    to[i] = (static_cast<double>(key[i]) + 0.5) * region_m_ - view_->position[i];
    distance2 += to[i] * to[i];
    along += to[i] * view_->direction[i];
    length2 += static_cast<double>(view_->direction[i]) * view_->direction[i];
  }
  const auto distance = std::sqrt(distance2);
  const auto radius = 0.87 * region_m_; // of the ball around a cube
  // Seen: within 60 degrees of the view's direction, give or take the region's own size.
  const auto seen = distance <= radius || along / std::sqrt(std::max(length2, 1e-12)) + radius >= 0.5 * distance;
  return seen ? distance : distance + 1e9;
}

std::optional<patch> patch_queue::take() {
  if (pending_.empty())
    return {};
  auto best = pending_.begin();
  if (view_) {
    auto best_rank = rank(best->first);
    for (auto i = std::next(best); i != pending_.end(); ++i) {
      const auto r = rank(i->first);
      if (r < best_rank || (r == best_rank && i->second.turn < best->second.turn)) {
        best = i;
        best_rank = r;
      }
    }
  } else {
    for (auto i = std::next(best); i != pending_.end(); ++i)
      if (i->second.turn < best->second.turn)
        best = i;
  }
  auto out = std::move(best->second.newest);
  pending_.erase(best);
  auto& s = sent_[out.region];
  s.version = out.version;
  s.bytes += size_of(out);
  unacknowledged_ += size_of(out);
  return out;
}

void patch_queue::acknowledge(const ack& seen) {
  for (const auto& held : seen.patches) {
    auto i = sent_.find(held.region);
    // Only the newest version settles a region: a frame of it that is still on its way counts.
    if (i == sent_.end() || held.version < i->second.version)
      continue;
    unacknowledged_ -= i->second.bytes;
    i->second.bytes = 0;
  }
}

} // namespace tessera
