#include "actors/viewers/patch_queue.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <tuple>

namespace tessera {

namespace {

uint32_t difference(int32_t a, int32_t b) {
  return static_cast<uint32_t>(a) ^ static_cast<uint32_t>(b);
}

/// The least cube around both: its edge is 2^level.
int common_level(const region_key& a, const region_key& b) {
  return std::bit_width(difference(a.x, b.x) | difference(a.y, b.y) | difference(a.z, b.z));
}

int32_t with_low_bits(int32_t x, int level, bool set) {
  const auto low = static_cast<uint32_t>((uint64_t{1} << level) - 1);
  return static_cast<int32_t>(set ? static_cast<uint32_t>(x) | low : static_cast<uint32_t>(x) & ~low);
}

/// First and last region of a cube on the curve.
region_key corner(const region_key& within, int level, bool last) {
  // The highest bit is the sign: the whole lattice begins at the least number, not at 0.
  if (level == 32)
    return last ? region_key{INT32_MAX, INT32_MAX, INT32_MAX} : region_key{INT32_MIN, INT32_MIN, INT32_MIN};
  return {with_low_bits(within.x, level, last), with_low_bits(within.y, level, last), with_low_bits(within.z, level, last)};
}

} // namespace

bool patch_queue::along_curve::operator()(const region_key& a, const region_key& b) const {
  // The axis with the highest bit that differs decides.
  const auto lower = [](uint32_t p, uint32_t q) { return p < q && p < (p ^ q); };
  const auto x = difference(a.x, b.x), y = difference(a.y, b.y), z = difference(a.z, b.z);
  if (!lower(z, y))
    return lower(z, x) ? a.x < b.x : a.z < b.z;
  return lower(y, x) ? a.x < b.x : a.y < b.y;
}

bool patch_queue::later::operator()(const step& a, const step& b) const {
  // Cubes before regions of equal rank: one of those in the cube may have an earlier turn.
  return std::tuple{a.rank, a.level == 0, a.turn} > std::tuple{b.rank, b.level == 0, b.turn};
}

void patch_queue::put(const patch& newest) {
  auto known = sent_.find(newest.region);
  if (known != sent_.end() && known->second.version >= newest.version)
    return;
  auto [i, fresh] = pending_.try_emplace(newest.region, waiting{newest, turns_});
  if (!fresh) {
    if (newest.version > i->second.newest.version)
      i->second.newest = newest;
    return;
  }
  ++turns_;
  if (view_)
    search(i, std::next(i));
  else
    turns_waiting_.emplace_back(i->second.turn, newest.region);
}

void patch_queue::look(const view& from) {
  view_ = from;
  turns_waiting_.clear();
  search_ = {};
  search(pending_.begin(), pending_.end());
}

double patch_queue::rank(const region_key& low, int level) const {
  const std::array<int32_t, 3> key{low.x, low.y, low.z};
  const auto regions = std::ldexp(1.0, level);
  std::array<double, 3> to{};
  double distance2 = 0, along = 0, length2 = 0;
  for (size_t i = 0; i < 3; ++i) {
    to[i] = (static_cast<double>(key[i]) + 0.5 * regions) * region_m_ - view_->position[i];
    distance2 += to[i] * to[i];
    along += to[i] * view_->direction[i];
    length2 += static_cast<double>(view_->direction[i]) * view_->direction[i];
  }
  // The ball around the regions' centres, a little larger than need be: what is rounded must not make the bound too high.
  const auto spread = level == 0 ? 0 : 0.867 * (regions - 1) * region_m_ + 1e-12 * std::sqrt(distance2);
  const auto distance = std::max(0.0, std::sqrt(distance2) - spread);
  const auto radius = 0.87 * region_m_; // of the ball around a cube
  // Seen: within 60 degrees of the view's direction, give or take the region's own size.
  const auto seen = distance <= radius || along / std::sqrt(std::max(length2, 1e-12)) + spread + radius >= 0.5 * distance;
  return seen ? distance : distance + 1e9;
}

void patch_queue::search(line::const_iterator first, line::const_iterator end) {
  if (first == end)
    return;
  const auto level = common_level(first->first, std::prev(end)->first);
  const auto low = corner(first->first, level, false);
  search_.push({rank(low, level), level == 0 ? first->second.turn : 0, low, level});
}

void patch_queue::search_parts(const step& cube) {
  const auto last = corner(cube.low, cube.level, true);
  const auto end = pending_.upper_bound(last);
  auto first = pending_.lower_bound(cube.low);
  opened_ += first != end;
  while (first != end) {
    const auto next = pending_.upper_bound(corner(first->first, cube.level - 1, true));
    search(first, next);
    first = next;
  }
}

patch_queue::line::iterator patch_queue::most_wanted() {
  if (!view_) {
    const auto region = turns_waiting_.front().second;
    turns_waiting_.pop_front();
    return pending_.find(region);
  }
  for (const auto most = opened_ + most_opened;;) {
    const auto best = search_.top();
    if (best.level > 0 && opened_ >= most) // near enough; the cube stays, for what else is in it
      if (const auto i = pending_.lower_bound(best.low);
          i != pending_.end() && !along_curve{}(corner(best.low, best.level, true), i->first))
        return i;
    search_.pop();
    if (best.level > 0)
      search_parts(best);
    else if (const auto i = pending_.find(best.low); i != pending_.end() && i->second.turn == best.turn)
      return i; // else it was found twice
  }
}

std::optional<patch> patch_queue::take_gone() {
  while (!gone_.empty()) {
    const auto held = gone_.back();
    gone_.pop_back();
    if (gone_.empty())
      gone_.shrink_to_fit();
    if (sent_.contains(held.region) || pending_.contains(held.region))
      continue; // it came back
    patch out;
    out.region = held.region;
    out.version = held.version + 1;
    return out;
  }
  return {};
}

std::optional<patch> patch_queue::take() {
  gone_next_ = !gone_next_ || pending_.empty();
  if (gone_next_)
    if (auto gone = take_gone())
      return gone;
  if (pending_.empty())
    return {};
  const auto best = most_wanted();
  auto out = std::move(best->second.newest);
  pending_.erase(best);
  sent_.try_emplace(out.region); // also while it is being made it is not gone
  return out;
}

void patch_queue::count(const patch& taken, uint64_t bytes, bool cells) {
  auto& s = sent_[taken.region];
  s.version = taken.version;
  s.empty = taken.triangles == 0;
  s.cells = cells && !s.empty ? taken.version : 0;
  s.bytes += bytes;
  unacknowledged_ += bytes;
}

void patch_queue::hold(const held_patch& held) {
  auto& s = sent_[held.region];
  s.version = s.cells = held.version;
}

void patch_queue::forget(const region_key& region) {
  if (const auto i = sent_.find(region); i != sent_.end())
    i->second.version = i->second.cells = 0;
}

uint64_t patch_queue::cells_of(const region_key& region) const {
  const auto i = sent_.find(region);
  return i == sent_.end() ? 0 : i->second.cells;
}

void patch_queue::acknowledge(const ack& seen) {
  for (const auto& held : seen.patches) {
    auto i = sent_.find(held.region);
    // Only the newest version settles a region: a frame of it that is still on its way counts.
    if (i == sent_.end() || held.version < i->second.version)
      continue;
    unacknowledged_ -= i->second.bytes;
    i->second.bytes = 0;
    if (i->second.empty)
      sent_.erase(i); // a region that is no more
  }
}

} // namespace tessera
