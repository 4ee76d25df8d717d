#pragma once

#include "messages/keyframe_sink.hpp"

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace tessera::testing {

/// Keeps what a source gives; answers `accepted`, or what `judge` says.
class recording_sink final : public keyframe_sink {
public:
  struct aside {
    std::string source, what, reason;
  };
  std::function<verdict(const keyframe&)> judge = [](const keyframe&) { return verdict{}; };

  void offer(map_input what, completion done) override {
    auto* frame = std::get_if<keyframe>(&what);
    if (!frame)
      return done({outcome::unknown, {}});
    auto v = judge(*frame);
    {
      std::lock_guard lock(mutex_);
      frames_.push_back(std::move(*frame));
    }
    changed_.notify_all();
    done(v);
  }
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override {
    {
      std::lock_guard lock(mutex_);
      asides_.push_back({source, what, reason});
    }
    changed_.notify_all();
  }

  std::vector<keyframe> frames() {
    std::lock_guard lock(mutex_);
    return frames_;
  }
  std::vector<aside> asides() {
    std::lock_guard lock(mutex_);
    return asides_;
  }
  /// Lets go of the keyframes (and of what they map).
  void clear() {
    std::lock_guard lock(mutex_);
    frames_.clear();
  }
  /// Waits until so many keyframes and set-aside inputs have come in; false after three minutes.
  bool wait_for(size_t frames, size_t asides = 0) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [&] { return frames_.size() >= frames && asides_.size() >= asides; });
  }
  /// Waits until something else is so, of which nobody tells; false after three minutes.
  template <class F>
  bool wait(F is_so) {
    for (auto until = std::chrono::steady_clock::now() + limit; std::chrono::steady_clock::now() < until;) {
      if (is_so())
        return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return is_so();
  }

private:
  static constexpr std::chrono::seconds limit{180};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<keyframe> frames_;
  std::vector<aside> asides_;
};

} // namespace tessera::testing
