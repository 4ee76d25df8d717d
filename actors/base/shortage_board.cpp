#include "actors/base/shortage_board.hpp"

#include <algorithm>

namespace tessera {

void shortage_board::note(hindrance why, std::string text, clock::time_point now) {
  std::string line;
  {
    const std::lock_guard lock{mutex_};
    const auto is_over = [&](const shortage& one) { return one.text.empty() || now - one.met > forgotten_after; };
    if (std::all_of(of_.begin(), of_.end(), is_over) && log_ && limit_.pass(now))
      line = "keyframes stay with their senders for now: " + text;
    auto& its = of_[static_cast<size_t>(why)];
    if (is_over(its))
      its.since = now;
    its.text = std::move(text);
    its.met = now;
    any_ = true;
  }
  if (!line.empty())
    log_(severity::warning, line);
}

void shortage_board::clear() {
  if (!any_.load(std::memory_order_relaxed))
    return;
  bool told = false;
  {
    const std::lock_guard lock{mutex_};
    told = any_.exchange(false) && limit_.pass(clock::now());
    of_ = {};
  }
  if (log_ && told)
    log_(severity::info, "keyframes are taken again");
}

std::optional<shortage_board::entry> shortage_board::current(clock::time_point now) const {
  const std::lock_guard lock{mutex_};
  std::optional<entry> out;
  for (const auto& one : of_) {
    if (one.text.empty() || now - one.met > forgotten_after)
      continue;
    if (!out)
      out = {one.text, one.since};
    else
      out = {out->text + "; " + one.text, std::min(out->since, one.since)};
  }
  return out;
}

} // namespace tessera
