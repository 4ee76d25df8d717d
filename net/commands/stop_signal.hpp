#pragma once

#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <stop_token>
#include <thread>

namespace tessera {

/// Turns SIGINT and SIGTERM into a stop request. Make it before any other thread: threads inherit the mask that keeps the signals
/// for it. A second signal ends the process at once, for somebody who will not wait.
class stop_signal {
public:
  /// Throws std::system_error if the signals cannot be masked.
  stop_signal();
  ~stop_signal();
  stop_signal(const stop_signal&) = delete;
  stop_signal& operator=(const stop_signal&) = delete;

  [[nodiscard]] std::stop_token token() const { return stop_.get_token(); }
  /// Ends the process after so long, if it has not ended by itself, whatever its threads are at: who waits for its end must not
  /// wait for work that nobody wants any more. Exits with the code.
  void end_within(std::chrono::milliseconds limit, int code);
  /// Asks for the stop without a signal.
  void request_stop() { stop_.request_stop(); }
  /// Waits until a stop is asked for.
  void wait() const;
  /// Waits so long at most; answers whether a stop is asked for.
  [[nodiscard]] bool wait_for(std::chrono::milliseconds limit) const;

private:
  using clock = std::chrono::steady_clock;

  std::stop_source stop_;
  std::atomic<clock::time_point> last_moment_{clock::time_point::max()};
  std::atomic<int> code_ = 0;
  sigset_t old_{};
  std::jthread watcher_;
};

} // namespace tessera
