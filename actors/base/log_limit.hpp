#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace tessera {

/// Lets a few lines through in each window of time, so that a producer that sends garbage, or a disk that fails, does not fill a
/// disk with them. Threads: one at a time.
class log_limit {
public:
  using clock = std::chrono::steady_clock;
  static constexpr uint32_t lines = 5;

  explicit log_limit(clock::duration window = std::chrono::seconds{1}) : window_{window} {}

  /// Returns how many lines were held back since the last that went through; nothing if this one is held back.
  std::optional<uint64_t> pass(clock::time_point now) {
    if (now - begin_ >= window_) {
      begin_ = now;
      passed_ = 0;
    }
    if (passed_ == lines) {
      ++held_;
      return {};
    }
    ++passed_;
    auto held = held_;
    held_ = 0;
    return held;
  }

private:
  clock::duration window_;
  clock::time_point begin_{};
  uint32_t passed_ = 0;
  uint64_t held_ = 0;
};

} // namespace tessera
