#pragma once

#include "messages/keyframe_sink.hpp"
#include "net/sources/source.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace tessera {

/// Runs sources, each in a thread of its own, and tells the log when they begin, end or fail.
class source_threads {
public:
  source_threads() = default;
  /// Stops and joins.
  ~source_threads();
  source_threads(const source_threads&) = delete;
  source_threads& operator=(const source_threads&) = delete;

  /// Starts a source that puts its keyframes into the sink, which must outlive this. `failed` is called, in the source's thread,
  /// if it could not start.
  void start(std::unique_ptr<source> input, keyframe_sink& sink, std::function<void()> failed);
  void request_stop();
  /// What keeps sources that run from bringing keyframes, in words; empty if nothing does. Threads: any.
  [[nodiscard]] std::string trouble() const;
  /// Waits until all have ended.
  void join();

private:
  struct running {
    std::unique_ptr<source> input;
    std::atomic<bool> ended = false;
    std::jthread thread;
  };
  mutable std::mutex mutex_; ///< for who asks while sources are started
  std::vector<std::unique_ptr<running>> running_;
};

} // namespace tessera
