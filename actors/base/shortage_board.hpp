#pragma once

#include "actors/base/hindrance.hpp"
#include "actors/base/log.hpp"
#include "actors/base/log_limit.hpp"

#include <array>
#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace tessera {

/// What the service is short of at the moment, for whoever asks whether it is ready; it may be several things. A shortage begins
/// when a keyframe cannot be taken for want of something, and ends when a later one is accepted, or when none has met it for a
/// while. Beginning and end of all of them are lines in the log, within log_limit. Threads: any.
class shortage_board {
public:
  using clock = std::chrono::steady_clock;
  /// A shortage that no keyframe has met for this long counts as over.
  static constexpr std::chrono::seconds forgotten_after{30};

  struct entry {
    std::string text;        ///< what is short, in words, of each kind what was met last
    clock::time_point since; ///< when the first of them was first met
  };

  /// Sets the log for beginnings and ends; to be called before the first keyframe comes.
  void tell_to(log_function log) { log_ = std::move(log); }

  /// A keyframe met a shortage of that kind; `text` says of what.
  void note(hindrance why, std::string text, clock::time_point now = clock::now());

  /// A keyframe was accepted: nothing is short.
  void clear();

  [[nodiscard]] std::optional<entry> current(clock::time_point now = clock::now()) const;

private:
  log_function log_;
  log_limit limit_;
  std::atomic<bool> any_{false}; ///< so that what is accepted need not wait for the mutex
  mutable std::mutex mutex_;
  struct shortage {
    std::string text; ///< empty: there is none
    clock::time_point since, met;
  };
  std::array<shortage, hindrances> of_; ///< by kind
};

} // namespace tessera
