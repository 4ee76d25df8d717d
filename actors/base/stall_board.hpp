#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace tessera {

/// Something that has work and does not get on with it.
struct stall {
  std::string who;   ///< an actor, with its region or device, or a thread of the keyframe store
  std::string doing; ///< what it is at, as far as that is known, in words
  std::chrono::steady_clock::time_point since;
};

/// What is stalled at the moment, for whoever asks whether the service is ready. Threads: any.
class stall_board {
public:
  /// `begun`: how many of these are new.
  void set(std::vector<stall> now, uint64_t begun) {
    const std::lock_guard lock{mutex_};
    now_ = std::move(now);
    count_ = static_cast<int64_t>(now_.size());
    total_ += begun;
  }
  /// The longest first.
  [[nodiscard]] std::vector<stall> current() const {
    if (count() == 0)
      return {};
    const std::lock_guard lock{mutex_};
    return now_;
  }
  [[nodiscard]] int64_t count() const { return count_.load(std::memory_order_relaxed); }
  [[nodiscard]] uint64_t total() const { return total_.load(std::memory_order_relaxed); } ///< that began so far

private:
  std::atomic<int64_t> count_{0};
  std::atomic<uint64_t> total_{0};
  mutable std::mutex mutex_;
  std::vector<stall> now_;
};

} // namespace tessera
