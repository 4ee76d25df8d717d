#include "net/server/body_budget.hpp"

#include <algorithm>
#include <utility>

namespace tessera {

bool body_budget::take(body_share& by, uint64_t bytes) {
  std::vector<std::function<void()>> to_tell;
  bool taken = false;
  {
    std::lock_guard lock{mutex_};
    if (!by.ended_) {
      const auto has_room = [&] {
        const auto found = of_.find(by.client_);
        return bytes <= all_ - held_ && bytes <= all_ / 2 - (found == of_.end() ? 0 : found->second.held);
      };
      if (!has_room())
        make_room(by, bytes, to_tell);
      taken = has_room();
    }
    if (taken) {
      auto& of = of_[by.client_];
      of.coming.insert(&by);
      of.held += bytes;
      by.held_ += bytes;
      held_ += bytes;
    }
  }
  for (const auto& tell : to_tell) // without the lock: what they wake may be the end of a share
    tell();
  return taken;
}

void body_budget::make_room(const body_share& for_whom, uint64_t bytes, std::vector<std::function<void()>>& to_tell) {
  const auto now = now_();
  std::vector<std::pair<double, body_share*>> slow; // by what came a second lately
  const auto add = [&](const client& of) {
    for (auto* one : of.coming) {
      if (one == &for_whom || !one->coming_)
        continue;
      if (const auto rate = one->recent_rate(now); rate && *rate < static_cast<double>(least_.bytes_per_s))
        slow.emplace_back(*rate, one);
    }
  };
  const auto own = of_.find(for_whom.client_);
  const auto own_held = own == of_.end() ? 0 : own->second.held;
  const bool own_is_short = bytes > all_ / 2 - own_held;
  if (!own_is_short)
    for (const auto& [address, one] : of_)
      add(one);
  else if (own != of_.end())
    add(own->second);
  std::sort(slow.begin(), slow.end());
  uint64_t freed = 0;
  const auto had = held_;
  for (const auto& [rate, one] : slow) {
    freed = had - held_;
    if (bytes <= all_ - held_ && (!own_is_short || bytes <= all_ / 2 - own_held + freed))
      break;
    to_tell.push_back(std::move(one->tell_));
    one->ended_ = true;
    let_go(*one);
  }
}

void body_budget::let_go(body_share& one) {
  one.coming_ = false;
  if (one.held_ == 0)
    return;
  const auto found = of_.find(one.client_);
  held_ -= one.held_;
  found->second.held -= one.held_;
  found->second.coming.erase(&one);
  one.held_ = 0;
  if (found->second.held == 0)
    of_.erase(found);
}

void body_budget::give_back(body_share& by) {
  std::function<void()> nobody; // whatever it holds goes without the lock
  std::lock_guard lock{mutex_};
  let_go(by);
  nobody.swap(by.tell_);
}

uint64_t body_budget::held() const {
  std::lock_guard lock{mutex_};
  return held_;
}

body_share::body_share(body_budget& budget, const boost::asio::ip::address& from) : budget_{budget}, client_{client_of(from)} {}

void body_share::move_to(const boost::asio::ip::address& from) {
  release(); // so that nobody looks for it with its former client
  std::lock_guard lock{budget_.mutex_};
  client_ = client_of(from);
}

void body_share::begin(std::function<void()> ended) {
  std::lock_guard lock{budget_.mutex_};
  tell_ = std::move(ended);
  mark_ = budget_.now_();
  came_ = came_by_mark_ = 0;
  before_.reset();
  coming_ = true;
  ended_ = false;
}

void body_share::came(uint64_t bytes) {
  std::lock_guard lock{budget_.mutex_};
  move_mark(budget_.now_());
  came_ = bytes;
}

void body_share::move_mark(clock::time_point now) {
  const auto after = budget_.least_.after;
  if (now - mark_ < after)
    return;
  const bool stood_still = now - mark_ >= 2 * after; // since the mark nothing was heard, nor asked
  before_ = stood_still ? 0 : came_ - came_by_mark_;
  mark_ = stood_still ? now : mark_ + after;
  came_by_mark_ = came_;
}

std::optional<double> body_share::recent_rate(clock::time_point now) {
  move_mark(now);
  if (!before_)
    return std::nullopt;
  const auto time_s = std::chrono::duration<double>(now - mark_ + budget_.least_.after).count();
  return static_cast<double>(*before_ + came_ - came_by_mark_) / time_s;
}

bool body_share::whole() {
  std::lock_guard lock{budget_.mutex_};
  coming_ = false;
  return !ended_;
}

bool body_share::ended() const {
  std::lock_guard lock{budget_.mutex_};
  return ended_;
}

} // namespace tessera
