#pragma once

#include "net/base/backoff.hpp"
#include "net/sources/shm/segment_file.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>

namespace tessera {

/// A segment as it was taken or set aside.
struct seen_segment {
  segment_identity what;        ///< without an inode: its name is gone, or was never taken
  uint64_t digest = 0;          ///< of its content
  bool reported = false;        ///< set aside as it is
  std::optional<backoff> pause; ///< of one that cannot be taken now
  /// Digest of the first keyframe of this name, and whether it got its verdict.
  std::optional<uint64_t> first_digest;
  bool first_judged = false;
};

/// What a watch has seen under each name. A name that is gone may come back, with the same content or with other: what it was
/// first is remembered, within bounds.
///
/// Threads: one.
class segment_history {
public:
  seen_segment& operator[](const std::string& name) { return seen_[name]; }

  /// The name is gone.
  void forget(const std::string& name) {
    constexpr size_t most = 100'000;
    auto at = seen_.find(name);
    if (at == seen_.end())
      return;
    at->second.what = {};
    at->second.reported = false;
    gone_.push_back(name);
    if (gone_.size() > most) {
      if (auto oldest = seen_.find(gone_.front()); oldest != seen_.end() && oldest->second.what.inode == 0)
        seen_.erase(oldest);
      gone_.pop_front();
    }
  }

private:
  std::unordered_map<std::string, seen_segment> seen_;
  std::deque<std::string> gone_;
};

} // namespace tessera
