#include "actors/base/aside_log.hpp"

#include "messages/clock.hpp"

namespace tessera {

void aside_log::add(std::string source, std::string what, std::string reason) {
  auto cut = [](std::string& text) {
    if (text.size() > max_text)
      text.resize(max_text);
  };
  cut(source);
  cut(what);
  cut(reason);
  const aside_entry entry{system_ns(), std::move(source), std::move(what), std::move(reason)};
  std::optional<uint64_t> held_back;
  {
    std::lock_guard lock{mutex_};
    ++total_;
    if (counts_.size() < max_sources || counts_.contains(entry.source))
      ++counts_[entry.source];
    else
      ++counts_["other"];
    entries_.push_front(entry);
    if (entries_.size() > capacity)
      entries_.pop_back();
    held_back = limit_.pass(log_limit::clock::now());
  }
  if (log_ && held_back)
    warn(entry, *held_back);
}

void aside_log::warn(const aside_entry& entry, uint64_t held_back) const {
  auto line = entry.source + ": " + entry.what + " set aside: " + entry.reason;
  for (char& c : line) // ids and names come from outside: they must not forge lines of the log
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      c = '?';
  if (held_back > 0)
    line += " (" + std::to_string(held_back) + " more were set aside before it)";
  log_(severity::warning, line);
}

std::vector<aside_entry> aside_log::newest() const {
  std::lock_guard lock{mutex_};
  return {entries_.begin(), entries_.end()};
}

std::map<std::string, uint64_t> aside_log::by_source() const {
  std::lock_guard lock{mutex_};
  return counts_;
}

uint64_t aside_log::total() const {
  std::lock_guard lock{mutex_};
  return total_;
}

} // namespace tessera
