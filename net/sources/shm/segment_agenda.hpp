#pragma once

#include "net/sources/shm/segment_file.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

namespace tessera {

/// A segment that may become a keyframe.
struct segment_candidate {
  using clock = std::chrono::steady_clock;
  bool closed = false;     ///< its writer let go of it
  bool written = false;    ///< perhaps through a mapping, which leaves no other trace
  clock::time_point since; ///< when it was first seen or last changed
  uint64_t order = 0;      ///< in which they came
  std::optional<segment_identity> last;
};

/// Segments that are to be looked at: those that are due, in the order in which they came, and those that are at a later time.
/// However many there are, each step takes the logarithm of it.
///
/// Threads: one.
class segment_agenda {
public:
  using clock = segment_candidate::clock;

  /// The segment is new or has changed, and is due.
  segment_candidate& note(const std::string& name, bool closed) {
    auto [at, fresh] = all_.try_emplace(name);
    auto& c = at->second.what;
    if (fresh)
      c.order = next_order_++;
    c.closed = closed;
    c.since = clock::now();
    schedule(*at, {});
    return c;
  }
  [[nodiscard]] segment_candidate* find(const std::string& name) {
    const auto at = all_.find(name);
    return at == all_.end() ? nullptr : &at->second.what;
  }
  /// If it is here, it is due.
  void hurry(const std::string& name) { put_off(name, {}); }
  /// If it is here, it is due then.
  void put_off(const std::string& name, clock::time_point due) {
    if (const auto at = all_.find(name); at != all_.end())
      schedule(*at, due);
  }
  void erase(const std::string& name) {
    if (const auto at = all_.find(name); at != all_.end()) {
      unschedule(*at);
      all_.erase(at);
    }
  }
  /// One that was taken out comes back with its place in the order, and is due at a time. If it was noted meanwhile, that holds.
  void put_back(const std::string& name, const segment_candidate& c, clock::time_point due) {
    const auto [at, fresh] = all_.try_emplace(name);
    if (!fresh) {
      at->second.what.written |= c.written;
      return;
    }
    at->second.what = c;
    schedule(*at, due);
  }

  /// The name of the first that is due; null if none is.
  [[nodiscard]] const std::string* first(clock::time_point now) {
    while (!later_.empty() && later_.begin()->first.first <= now)
      schedule(*later_.begin()->second, {});
    return due_.empty() ? nullptr : &due_.begin()->second->first;
  }
  /// Takes the first that is due out; there must be one.
  std::pair<std::string, segment_candidate> take_first() {
    auto& first = *due_.begin()->second;
    std::pair<std::string, segment_candidate> out(first.first, first.second.what);
    erase(out.first);
    return out;
  }
  /// When the next is due; nothing if there is none.
  [[nodiscard]] std::optional<clock::time_point> next_due() const {
    if (!due_.empty())
      return clock::time_point{};
    return later_.empty() ? std::nullopt : std::optional(later_.begin()->first.first);
  }

private:
  struct entry {
    segment_candidate what;
    clock::time_point due; ///< none: at once
  };
  using node = std::pair<const std::string, entry>;

  void unschedule(node& n) {
    if (n.second.due == clock::time_point{})
      due_.erase(n.second.what.order);
    else
      later_.erase({n.second.due, n.second.what.order});
  }
  void schedule(node& n, clock::time_point due) {
    unschedule(n);
    n.second.due = due;
    if (due == clock::time_point{})
      due_.emplace(n.second.what.order, &n);
    else
      later_.emplace(std::pair(due, n.second.what.order), &n);
  }

  std::unordered_map<std::string, entry> all_;
  std::map<uint64_t, node*> due_; ///< by their order
  std::map<std::pair<clock::time_point, uint64_t>, node*> later_;
  uint64_t next_order_ = 0;
};

} // namespace tessera
