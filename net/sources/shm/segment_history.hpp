#pragma once

#include "net/base/backoff.hpp"
#include "net/sources/shm/segment_file.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

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
  uint64_t went = 0; ///< when its name was gone last, counted
};

/// What a watch has seen under each name. A name that is gone may come back, with the same content or with other: what it was
/// first is remembered, within bounds.
///
/// Threads: one.
class segment_history {
public:
  explicit segment_history(size_t most_gone = 100'000) : most_gone_(most_gone) {}
  seen_segment& operator[](const std::string& name) { return seen_[name]; }

  /// The name is gone.
  void forget(const std::string& name) {
    auto at = seen_.find(name);
    if (at == seen_.end())
      return;
    at->second.what = {};
    at->second.reported = false;
    at->second.went = ++number_;
    gone_.emplace_back(name, number_);
    if (gone_.size() > most_gone_) {
      // One that came and went again since has another number.
      if (auto oldest = seen_.find(gone_.front().first);
          oldest != seen_.end() && oldest->second.what.inode == 0 && oldest->second.went == gone_.front().second)
        seen_.erase(oldest);
      gone_.pop_front();
    }
  }

private:
  std::unordered_map<std::string, seen_segment> seen_;
  size_t most_gone_;
  uint64_t number_ = 0;
  std::deque<std::pair<std::string, uint64_t>> gone_; ///< in the order in which they went
};

} // namespace tessera
