#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace tessera {

/// Lets bytes through at a mean rate. A frame may go whenever the bucket is not in debt, and may put it in debt, so that frames
/// larger than the bucket go too.
class token_bucket {
public:
  using clock = std::chrono::steady_clock;

  token_bucket() = default;
  /// 0 bytes a second: no limit. Holds a fifth of a second's worth.
  token_bucket(uint64_t bytes_per_s, clock::time_point now)
    : rate_{static_cast<double>(bytes_per_s)}, depth_{rate_ / 5}, level_{depth_}, at_{now} {}

  [[nodiscard]] bool limited() const { return rate_ != 0; }

  /// Returns how long to wait until the next frame may go; zero: it may go now.
  clock::duration wait(clock::time_point now) {
    if (rate_ == 0)
      return {};
    fill(now);
    if (level_ >= 0)
      return {};
    return std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(-level_ / rate_))
           + std::chrono::microseconds{1};
  }

  /// Takes a frame's bytes out.
  void take(uint64_t bytes) {
    if (rate_ != 0)
      level_ -= static_cast<double>(bytes);
  }

private:
  void fill(clock::time_point now) {
    level_ = std::min(depth_, level_ + rate_ * std::chrono::duration<double>(now - at_).count());
    at_ = now;
  }

  double rate_ = 0, depth_ = 0, level_ = 0;
  clock::time_point at_{};
};

} // namespace tessera
