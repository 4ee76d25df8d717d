#pragma once

#include "messages/keyframe_sink.hpp"
#include "net/base/shortage.hpp"
#include "net/sources/source.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tessera {

/// Runs sources, each in a thread of its own, and tells the log when they begin, end or fail. One that lacks what it needs (a
/// descriptor, a thread, memory) is run again after a pause, until it works.
class source_threads {
public:
  /// `on_shortage` hears what is wanting. A stop ends the wait for what is wanting to start a thread.
  source_threads(shortage_listener on_shortage, std::stop_token stop)
    : on_shortage_(std::move(on_shortage)), stop_(std::move(stop)) {}
  /// Stops and joins.
  ~source_threads();
  source_threads(const source_threads&) = delete;
  source_threads& operator=(const source_threads&) = delete;

  /// Starts a source that puts its keyframes into the sink, which must outlive this. Waits until there is a thread for it.
  /// `failed` is called, in the source's thread, if it cannot start, and would not later.
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
    std::string wanting; ///< for it to be run; under the mutex
    std::jthread thread;
  };
  void run(running& one, keyframe_sink& sink, const std::function<void()>& failed, const std::stop_token& stop);
  /// Does something for which something may be wanting.
  template <class F>
  void insist(running& one, const std::stop_token& stop, F work);

  const shortage_listener on_shortage_;
  const std::stop_token stop_;
  mutable std::mutex mutex_; ///< for who asks while sources are started
  std::vector<std::unique_ptr<running>> running_;
};

} // namespace tessera
