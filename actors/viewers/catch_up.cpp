#include "actors/viewers/catch_up.hpp"

#include <algorithm>

namespace tessera {

catch_up::catch_up(patch_board::picture now, const std::vector<held_patch>& have, bool whole)
  : now_{std::move(now)}, whole_{whole}, have_(have.size()), have_first_(now_.size() + 1) {
  for (const auto& held : have)
    ++have_first_[patch_board::shard_of(held.region) + 1];
  for (size_t s = 0; s < now_.size(); ++s)
    have_first_[s + 1] += have_first_[s];
  auto to = have_first_;
  for (const auto& held : have)
    have_[to[patch_board::shard_of(held.region)]++] = held;
}

std::optional<held_patch> catch_up::heard(const region_key& region) {
  const auto shard = patch_board::shard_of(region);
  if (done() || shard < next_ || !heard_.insert(region).second)
    return {};
  const auto end = have_.begin() + static_cast<std::ptrdiff_t>(have_first_[shard + 1]);
  const auto i = std::find_if(have_.begin() + static_cast<std::ptrdiff_t>(have_first_[shard]), end,
                              [&](const held_patch& held) { return held.region == region; });
  return i != end ? std::optional{*i} : std::nullopt;
}

void catch_up::step(patch_queue& queue, doubts& its) {
  for (size_t looked = 0; !done() && looked < at_once; ++next_) {
    looked += have_first_[next_ + 1] - have_first_[next_] + (now_[next_] ? now_[next_]->size() : 0);
    look_at(next_, queue, its);
    now_[next_] = nullptr;
  }
  if (done())
    *this = {};
}

void catch_up::look_at(size_t shard, patch_queue& queue, doubts& its) {
  static const patch_board::shard nothing;
  const auto& in = now_[shard] ? *now_[shard] : nothing;
  std::unordered_set<region_key> newest; // that the viewer has
  for (auto i = have_first_[shard]; i < have_first_[shard + 1]; ++i) {
    const auto& held = have_[i];
    if (heard_.contains(held.region))
      continue;
    const auto known = in.find(held.region);
    if (known == in.end() && whole_)
      queue.put_gone(held);
    else if (known == in.end())
      its.unknown.push_back(held);
    else if (known->second.version >= held.version)
      queue.hold(held);
    else
      its.newer.push_back(held);
    if (known != in.end() && known->second.version == held.version)
      newest.insert(held.region);
  }
  for (const auto& [region, one] : in)
    if (!newest.contains(region) && !heard_.contains(region))
      queue.put(one);
}

} // namespace tessera
