#include "actors/viewers/catch_up.hpp"

#include <algorithm>

namespace tessera {

catch_up::catch_up(patch_board::picture now, const std::vector<held_patch>& have)
  : now_{std::move(now)}, have_(have.size()), have_first_(now_.size() + 1) {
  for (const auto& held : have)
    ++have_first_[patch_board::shard_of(held.region) + 1];
  for (size_t s = 0; s < now_.size(); ++s)
    have_first_[s + 1] += have_first_[s];
  auto to = have_first_;
  for (const auto& held : have)
    have_[to[patch_board::shard_of(held.region)]++] = held;
}

void catch_up::heard(const region_key& region) {
  if (!done() && patch_board::shard_of(region) >= next_)
    heard_.insert(region);
}

void catch_up::step(patch_queue& queue) {
  for (size_t looked = 0; !done() && looked < at_once; ++next_) {
    looked += have_first_[next_ + 1] - have_first_[next_] + (now_[next_] ? now_[next_]->size() : 0);
    look_at(next_, queue);
    now_[next_] = nullptr;
  }
  if (done())
    *this = {};
}

void catch_up::look_at(size_t shard, patch_queue& queue) {
  static const patch_board::shard nothing;
  const auto& in = now_[shard] ? *now_[shard] : nothing;
  std::unordered_set<region_key> newest; // that the viewer has
  for (auto i = have_first_[shard]; i < have_first_[shard + 1]; ++i) {
    const auto& held = have_[i];
    const auto known = in.find(held.region);
    if (known == in.end() && !heard_.contains(held.region))
      queue.put_gone(held);
    else if (known != in.end() && known->second.version >= held.version && !heard_.contains(held.region))
      queue.hold(held);
    if (known != in.end() && known->second.version == held.version)
      newest.insert(held.region);
  }
  for (const auto& [region, one] : in)
    if (!newest.contains(region) && !heard_.contains(region))
      queue.put(one);
}

} // namespace tessera
