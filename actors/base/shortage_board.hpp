#pragma once

#include "actors/base/log.hpp"
#include "actors/base/log_limit.hpp"

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

namespace tessera {

/// What the service is short of at the moment, for whoever asks whether it is ready. Noted when a keyframe cannot be taken for
/// want of something, and over when a later one is accepted, or when none met it for a while. Its beginning and its end are lines
/// of the log, within log_limit. Threads: any.
class shortage_board {
public:
  using clock = std::chrono::steady_clock;
  /// A shortage that no keyframe meets for so long is over: nobody knows better before the next one comes.
  static constexpr std::chrono::seconds forgotten_after{30};

  struct entry {
    std::string text;        ///< what is short, in words
    clock::time_point since; ///< when it was first met
  };

  /// Where its beginning and its end are told; to be called before the first keyframe comes.
  void tell_to(log_function log) { log_ = std::move(log); }

  /// Something was wanting.
  void note(std::string text, clock::time_point now = clock::now());

  /// A keyframe was accepted: nothing is wanting.
  void clear();

  [[nodiscard]] std::optional<entry> current(clock::time_point now = clock::now()) const;

private:
  log_function log_;
  log_limit limit_;
  std::atomic<bool> any_{false}; ///< so that what is accepted need not wait for the mutex
  mutable std::mutex mutex_;
  entry now_;
  clock::time_point met_{}; ///< last
};

} // namespace tessera
