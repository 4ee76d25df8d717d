#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace tessera {

/// Lets a few lines a second through, so that a producer that sends garbage does not fill a disk with it. Threads: one at a time.
class log_limit {
public:
  using clock = std::chrono::steady_clock;
  static constexpr uint32_t lines_per_s = 5;

  /// Returns how many lines were held back since the last that went through; nothing if this one is held back.
  std::optional<uint64_t> pass(clock::time_point now) {
    if (now - begin_ >= std::chrono::seconds{1}) {
      begin_ = now;
      passed_ = 0;
    }
    if (passed_ == lines_per_s) {
      ++held_;
      return {};
    }
    ++passed_;
    auto held = held_;
    held_ = 0;
    return held;
  }

private:
  clock::time_point begin_{};
  uint32_t passed_ = 0;
  uint64_t held_ = 0;
};

} // namespace tessera
