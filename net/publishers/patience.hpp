#pragma once

#include "messages/keyframe.hpp"
#include "net/base/backoff.hpp"

#include <chrono>
#include <stop_token>
#include <string>

namespace tessera {

/// How long one delivery is tried, and what people are told meanwhile: nothing for a second, since short waits are how
/// backpressure works, and then what is wrong, now and again.
///
/// Threads: one.
class patience {
public:
  using clock = std::chrono::steady_clock;
  patience(std::chrono::milliseconds most, std::stop_token stop);

  /// Notes why it has not worked yet, and tells the log if it is time to.
  void note(std::string why);
  /// Whether a stop was asked for, or so much time has gone by that it is not waited for any longer.
  [[nodiscard]] bool over() const { return stop_.stop_requested() || clock::now() >= until_; }
  /// Pauses before the next try; false if there is none.
  [[nodiscard]] bool pause();
  /// The verdict when there is no further try: it stays with its sender.
  [[nodiscard]] verdict given_up() const;

private:
  std::stop_token stop_;
  clock::time_point until_, tell_;
  backoff pause_;
  std::string why_;
};

} // namespace tessera
