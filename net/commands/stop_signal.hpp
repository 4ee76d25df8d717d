#pragma once

#include <atomic>
#include <chrono>
#include <csignal>
#include <functional>
#include <stop_token>
#include <thread>

namespace tessera {

/// Has SIGHUP wait for a stop_signal that listens to it, instead of ending the process meanwhile. For whoever is told to read
/// something again while he still starts.
void hold_hangup();

/// Turns SIGINT and SIGTERM into a stop request. Make it before any other thread: threads inherit the mask that keeps the signals
/// for it. A second signal ends the process at once, for somebody who will not wait.
///
/// SIGHUP is left alone unless it is said what to do then: that is done, in a thread of its own, when somebody sends it. What the
/// kernel sends since the terminal is gone is a stop request, too, except under nohup.
class stop_signal {
public:
  /// Throws std::system_error if the signals cannot be masked.
  explicit stop_signal(std::function<void()> on_hangup = {});
  ~stop_signal();
  stop_signal(const stop_signal&) = delete;
  stop_signal& operator=(const stop_signal&) = delete;

  [[nodiscard]] std::stop_token token() const { return stop_.get_token(); }
  /// Ends the process so long after a stop is asked for, with code(), if it has not ended by itself, whatever its threads are at:
  /// who waits for its end must not wait for work that nobody wants any more.
  void end_within(std::chrono::milliseconds limit) { limit_ = limit; }
  /// Asks for the stop without a signal; the code, if it is not 0, is what the process is to exit with.
  void request_stop(int code = 0) {
    if (code != 0)
      code_ = code;
    stop_.request_stop();
  }
  /// What the process is to exit with, as far as it depends on why it was stopped.
  [[nodiscard]] int code() const { return code_; }
  /// Waits until a stop is asked for.
  void wait() const;
  /// Waits so long at most; answers whether a stop is asked for.
  [[nodiscard]] bool wait_for(std::chrono::milliseconds limit) const;

private:
  [[nodiscard]] sigset_t signals() const;
  [[nodiscard]] bool is_stop(const siginfo_t& signal) const;

  const std::function<void()> on_hangup_;
  bool ignores_hangup_ = false; ///< as nohup says
  std::stop_source stop_;
  std::atomic<std::chrono::milliseconds> limit_{std::chrono::milliseconds{0}}; ///< 0: none
  std::atomic<int> code_ = 0;
  sigset_t old_{};
  std::jthread watcher_;
};

} // namespace tessera
