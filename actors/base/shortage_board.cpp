#include "actors/base/shortage_board.hpp"

namespace tessera {

void shortage_board::note(std::string text, clock::time_point now) {
  std::string line;
  {
    const std::lock_guard lock{mutex_};
    if (!any_.exchange(true) || now - met_ > forgotten_after) {
      now_.since = now;
      if (log_ && limit_.pass(now))
        line = "keyframes stay with their senders for now: " + text;
    }
    now_.text = std::move(text);
    met_ = now;
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
  }
  if (log_ && told)
    log_(severity::info, "keyframes are taken again");
}

std::optional<shortage_board::entry> shortage_board::current(clock::time_point now) const {
  const std::lock_guard lock{mutex_};
  if (!any_ || now - met_ > forgotten_after)
    return {};
  return now_;
}

} // namespace tessera
