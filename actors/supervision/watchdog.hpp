#pragma once

#include "actors/base/actor_context.hpp"
#include "actors/store/keyframe_store.hpp"

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace tessera {

/// Sees what is alive and does not get on: actors and threads of the keyframe store that have work and have not advanced for
/// longer than a bound. It reads what they count, asks them nothing, and ends nobody: what is stuck in a call cannot be ended,
/// and its successor would work beside it. It tells the log once when a stall begins and once when it is over, telemetry::stalls,
/// and the registry. A thread of its own, so that it sees also when no actor gets a turn. Time in which it got no turn either, as
/// when the process or the machine was stopped, does not count.
class watchdog {
public:
  using clock = std::chrono::steady_clock;

  /// Looks four times in `bound`, but at least once a second; `own_thread` off: when look() is called.
  watchdog(actor_context context, std::shared_ptr<const keyframe_store> store, std::chrono::milliseconds bound, bool own_thread);
  ~watchdog();
  watchdog(const watchdog&) = delete;
  watchdog& operator=(const watchdog&) = delete;

  /// Looks once. Threads: one at a time.
  void look(clock::time_point now);
  /// Ends the thread, and lets go of the store.
  void stop();

private:
  /// What is watched: an actor by its number, or a thread of the store by its name; and which of its works.
  using key = std::pair<std::string, uint64_t>;
  struct state {
    bool works = false;
    uint64_t steps = 0;
    clock::time_point since; ///< it works, and has not advanced
    uint64_t looked = 0;     ///< when it was there last
  };

  /// Since when it is stalled; nothing if it is not.
  std::optional<clock::time_point> stalled(const key& which, const pulse& its, clock::time_point now);
  void run();

  const actor_context context_;
  const std::chrono::milliseconds bound_;
  std::map<key, state> seen_;
  uint64_t looks_ = 0;
  std::optional<clock::time_point> looked_at_;
  std::map<std::string, clock::time_point> told_; ///< stalls that the log knows, by who
  std::mutex mutex_;                              ///< of what follows
  std::condition_variable changed_;
  bool stopped_ = false;
  std::shared_ptr<const keyframe_store> store_;
  std::thread thread_;
};

} // namespace tessera
