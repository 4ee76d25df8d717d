#pragma once

#include <chrono>
#include <stop_token>

namespace tessera {

/// Keeps a rate: wait() returns when the next thing is due. After a hold-up it goes on from there, without a
/// burst.
class pace {
public:
  /// Things per second; 0: no waiting.
  explicit pace(double per_second);
  /// Returns false if a stop was asked for.
  bool wait(const std::stop_token& stop);

private:
  using clock = std::chrono::steady_clock;
  clock::duration interval_{};
  clock::time_point due_{};
};

/// Sleeps for so long, or until a stop is asked for; returns false then.
bool sleep_unless(const std::stop_token& stop, std::chrono::steady_clock::time_point until);

} // namespace tessera
