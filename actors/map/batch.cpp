#include "actors/map/batch.hpp"

#include <algorithm>
#include <iterator>

namespace tessera {

batch_ptr batch_list::add(uint64_t number) {
  return all_.emplace_back(std::make_shared<batch>(batch{number}));
}

std::vector<batch_ptr> batch_list::uncollected() const {
  std::vector<batch_ptr> out;
  std::copy_if(all_.begin(), all_.end(), std::back_inserter(out), [](const batch_ptr& one) { return !one->collected; });
  return out;
}

void batch_list::clear() {
  for (const auto& one : all_)
    one->ended.clear(); // which hold it
  *this = {};
}

bool batch_list::holds_up(const change& c) const {
  const auto* frame = std::get_if<keyframe>(&c.what);
  const auto order = c.part_of ? c.part_of->number : c.number;
  return std::any_of(all_.begin(), all_.end(), [&](const batch_ptr& one) {
    if (one->number > order)
      return false;
    return !one->collected || (frame != nullptr && std::any_of(one->groups.begin(), one->groups.end(), [&](const auto& its) {
                                 return its.group == frame->group;
                               }));
  });
}

change_ptr batch_list::next(size_t most) {
  if (under_way_ >= most || due_.empty())
    return nullptr;
  ++under_way_;
  auto c = due_.front();
  due_.pop_front();
  return c;
}

void batch_list::count(batch& of, const verdict& v) {
  --under_way_;
  switch (v.what) {
  case outcome::accepted:
    ++of.done;
    return;
  case outcome::duplicate:
    ++of.others.duplicate;
    return;
  case outcome::unknown:
    of.others.unknown += of.clears ? 0 : 1; // what is to go and is not there is gone
    return;
  case outcome::not_now:
    ++of.others.not_now;
    break;
  default:
    ++of.others.refused;
  }
  of.reason = v.reason;
}

std::optional<verdict> batch_list::part_done(const batch_ptr& of) {
  if (--of->left > 0)
    return {};
  std::erase(all_, batch_ptr{of});
  verdict out{outcome::accepted, of->reason, of->done, of->others};
  if (of->others.not_now > 0) {
    out.what = outcome::not_now;
    out.reason = std::to_string(of->done) + " keyframes were " + (of->clears ? "taken out" : "moved") + ", and "
                 + std::to_string(of->others.not_now) + " not yet: " + of->reason;
  }
  return out;
}

} // namespace tessera
