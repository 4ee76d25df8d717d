#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace tessera {

/// How an actor, and those before it in its place, have fared: when it was started, how many there were before it, and how often
/// in a row they failed of themselves at once, so that starting another may not help.
class life {
public:
  using time_point = std::chrono::steady_clock::time_point; ///< of the clock of whoever watches

  explicit life(time_point now) : started_{now} {}

  /// It ended; `killed`: on purpose. Who ends by itself within a second of its start has failed.
  void end(time_point now, bool killed) { failures_ = !killed && now - started_ < std::chrono::seconds{1} ? failures_ + 1 : 0; }
  /// Another was started in its place.
  void restart(time_point now) {
    ++restarts_;
    started_ = now;
  }

  [[nodiscard]] uint64_t restarts() const { return restarts_; }
  [[nodiscard]] uint32_t failures() const { return failures_; } ///< in a row
  /// Whether it failed so often that it is not started again.
  [[nodiscard]] bool hopeless(uint32_t most = 5) const { return failures_ >= most; }
  /// How long to wait before the next one is started, for those that are started however often they fail.
  [[nodiscard]] std::chrono::milliseconds pause() const {
    return std::chrono::milliseconds{failures_ < 3 ? 0 : 50 << std::min(failures_, 6u)};
  }

private:
  time_point started_;
  uint64_t restarts_ = 0;
  uint32_t failures_ = 0;
};

} // namespace tessera
