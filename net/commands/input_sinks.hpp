#pragma once

#include "messages/keyframe_sink.hpp"

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>

namespace tessera {

/// Holds sources back until the service behind it is there, so that the service can be made to suit their first keyframe.
///
/// Threads: any.
class gate_sink final : public keyframe_sink {
public:
  explicit gate_sink(std::stop_token stop) : stop_(std::move(stop)) {}

  /// Waits for the first keyframe that is offered; none if a stop was asked for before.
  std::optional<keyframe> first();
  /// From now on everything goes to `next`, which must outlive this.
  void open(keyframe_sink& next);

  void offer(keyframe frame, completion done) override;
  void retract(keyframe_id id, completion done) override;
  void revise(keyframe_id id, pose world_from_camera, completion done) override;
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override;

private:
  keyframe_sink* next();

  std::stop_token stop_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<keyframe> first_;
  keyframe_sink* next_ = nullptr;
};

/// Keeps the newest so many keyframes of an endless source, and retracts older ones, so that the map does not grow for ever.
///
/// Threads: one source's.
class newest_sink final : public keyframe_sink {
public:
  newest_sink(keyframe_sink& next, size_t keep) : next_(next), keep_(keep) {}

  void offer(keyframe frame, completion done) override;
  void retract(keyframe_id id, completion done) override;
  void revise(keyframe_id id, pose world_from_camera, completion done) override;
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override;

private:
  keyframe_sink& next_;
  const size_t keep_;
  std::deque<keyframe_id> offered_;
};

} // namespace tessera
