#pragma once

#include "messages/keyframe_sink.hpp"

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>

namespace tessera {

/// Whether standard error is a terminal that somebody may look at.
bool on_terminal();

/// Passes keyframes on. Tells on standard error what was not taken and why, and, if asked to, how many were taken, in one line
/// that is written over.
class progress_sink final : public keyframe_sink {
public:
  progress_sink(keyframe_sink& next, std::string what, std::optional<uint64_t> total, bool show);
  /// Ends the line.
  ~progress_sink() override;
  progress_sink(const progress_sink&) = delete;
  progress_sink& operator=(const progress_sink&) = delete;

  void offer(keyframe frame, completion done) override;
  void retract(keyframe_id id, completion done) override;
  void revise(keyframe_id id, pose world_from_camera, completion done) override;
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override;

private:
  void tell(bool last);
  void complain(const std::string& what, const std::string& reason);

  keyframe_sink& next_;
  const std::string what_;
  const std::optional<uint64_t> total_;
  const bool show_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::atomic<uint64_t> offered_ = 0;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point told_;
  uint64_t complaints_ = 0;
};

} // namespace tessera
