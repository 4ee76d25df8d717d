#include "actors/aside_log.hpp"

#include <chrono>

namespace tessera {

void aside_log::add(std::string source, std::string what, std::string reason) {
  auto cut = [](std::string& text) {
    if (text.size() > max_text)
      text.resize(max_text);
  };
  cut(source);
  cut(what);
  cut(reason);
  auto now = std::chrono::system_clock::now().time_since_epoch();
  auto now_ns = static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
  std::lock_guard lock{mutex_};
  ++total_;
  if (counts_.size() < max_sources || counts_.contains(source))
    ++counts_[source];
  else
    ++counts_["other"];
  entries_.push_front({now_ns, std::move(source), std::move(what), std::move(reason)});
  if (entries_.size() > capacity)
    entries_.pop_back();
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
