#pragma once

#include <algorithm>
#include <chrono>
#include <random>

namespace tessera {

/// Pauses between tries: each twice as long as the one before up to a bound, and a quarter more or less by
/// chance, so that many clients do not come back at once.
class backoff {
public:
  using duration = std::chrono::milliseconds;
  backoff(duration first, duration most) : first_(first), most_(most), now_(first), random_(std::random_device{}()) {}
  duration next() {
    auto pause = now_;
    now_ = std::min(2 * now_, most_);
    std::uniform_int_distribution<int64_t> some(-pause.count() / 4, pause.count() / 4);
    return pause + duration(some(random_));
  }
  void reset() { now_ = first_; }

private:
  duration first_, most_, now_;
  std::minstd_rand random_;
};

} // namespace tessera
