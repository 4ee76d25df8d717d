#include "actors/map/clearing.hpp"

namespace tessera {

clearing_ptr clearing_list::add(keyframe_selection which, uint64_t number) {
  return all_.emplace_back(std::make_shared<clearing>(clearing{std::move(which), number}));
}

change_ptr clearing_list::next(size_t most) {
  if (under_way_ >= most || due_.empty())
    return nullptr;
  ++under_way_;
  auto c = due_.front();
  due_.pop_front();
  return c;
}

void clearing_list::count(clearing& of, const verdict& v) {
  --under_way_;
  if (v.what == outcome::accepted) {
    ++of.gone;
  } else if (v.what == outcome::not_now) {
    ++of.stay;
    of.reason = v.reason;
  }
}

std::optional<verdict> clearing_list::part_done(const clearing_ptr& of) {
  if (--of->left > 0)
    return {};
  std::erase(all_, clearing_ptr{of});
  if (of->stay == 0)
    return verdict{outcome::accepted, {}, of->gone};
  return verdict{outcome::not_now,
                 std::to_string(of->gone) + " keyframes were taken out, and " + std::to_string(of->stay)
                   + " not yet: " + of->reason,
                 of->gone};
}

} // namespace tessera
