#pragma once

#include <chrono>
#include <stop_token>

namespace tessera {

/// Keeps a rate: wait() returns when the next thing is due. After a hold-up it goes on from there, without a
/// burst. May have an end.
class pace {
public:
  /// Things per second, 0: no waiting; and for how long from now on, 0: without end. Throws std::invalid_argument.
  explicit pace(double per_second, double seconds = 0);
  /// Returns false if a stop was asked for, or if the time is over; the first thing always has time.
  bool wait(const std::stop_token& stop);

private:
  using clock = std::chrono::steady_clock;
  clock::duration interval_{};
  clock::time_point due_{}, end_ = clock::time_point::max();
  bool first_ = true;
};

/// Sleeps for so long, or until a stop is asked for; returns false then.
bool sleep_unless(const std::stop_token& stop, std::chrono::steady_clock::time_point until);

} // namespace tessera
