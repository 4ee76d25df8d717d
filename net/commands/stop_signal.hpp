#pragma once

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
  /// Asks for the stop without a signal.
  void request_stop() { stop_.request_stop(); }
  /// Waits until a stop is asked for.
  void wait() const;
  /// Waits so long at most; answers whether a stop is asked for.
  [[nodiscard]] bool wait_for(std::chrono::milliseconds limit) const;

private:
  std::stop_source stop_;
  sigset_t old_{};
  std::jthread watcher_;
};

} // namespace tessera
