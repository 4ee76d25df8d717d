#pragma once

#include "actors/base/telemetry.hpp"
#include "actors/store/keyframe_store.hpp"
#include "messages/keyframe_sink.hpp"

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>

namespace tessera {

/// Holds keyframes back until the service behind it is there, so that the service can be made to suit the first good one. What is
/// retracted meanwhile is remembered in the service's store.
///
/// Threads: any.
class gate_sink final : public keyframe_sink {
public:
  /// Says what becomes of a keyframe that comes while the gate is shut: nothing if the service is to suit it, else the answer to
  /// it.
  using judge_function = std::function<std::optional<verdict>(const keyframe&)>;

  gate_sink(std::stop_token stop, std::shared_ptr<telemetry> numbers, std::shared_ptr<keyframe_store> store, judge_function judge)
    : stop_(std::move(stop)), numbers_(std::move(numbers)), store_(std::move(store)), judge_(std::move(judge)) {}

  /// Waits for the keyframe that the service is to suit, which waits at the gate. False: a stop was asked for before one came.
  bool wait_for_one();
  /// From now on everything goes to `next`, which must outlive this.
  void open(keyframe_sink& next);

  void offer(map_input what, completion done) override;
  void retract_all(keyframe_selection which, completion done) override;
  void correct(correction what, completion done) override;
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override;

private:
  /// Whether no keyframe came that would be taken: then there is nothing to take out or to move.
  [[nodiscard]] bool nothing_came();
  /// Nothing came: a keyframe that comes late is to stay out, or those that match no longer are.
  void remember(const retraction& what, completion done);
  void forget_retractions(const keyframe_selection& which, completion done);
  /// Where everything goes: waits for it. Null if a stop is asked for before.
  keyframe_sink* next();

  std::stop_token stop_;
  std::shared_ptr<telemetry> numbers_;
  std::shared_ptr<keyframe_store> store_;
  judge_function judge_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool one_came_ = false;
  keyframe_sink* next_ = nullptr;
};

/// Keeps the newest so many keyframes of an endless source, and retracts older ones, so that the map does not grow for ever.
///
/// Threads: one source's.
class newest_sink final : public keyframe_sink {
public:
  newest_sink(keyframe_sink& next, size_t keep) : next_(next), keep_(keep) {}

  void offer(map_input what, completion done) override;
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override;

private:
  keyframe_sink& next_;
  const size_t keep_;
  /// What was offered and is to stay, oldest first. Verdicts come from any thread, and perhaps after this sink.
  struct kept {
    std::mutex mutex;
    std::deque<keyframe_id> offered;
  };
  std::shared_ptr<kept> kept_ = std::make_shared<kept>();
};

} // namespace tessera
