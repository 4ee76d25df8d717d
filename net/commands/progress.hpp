#pragma once

#include "messages/keyframe_sink.hpp"

#include <atomic>
#include <chrono>
#include <iosfwd>
#include <mutex>
#include <optional>
#include <string>

namespace tessera {

/// How progress is shown on standard error.
enum class progress_style {
  none,
  lines,    ///< a line every few seconds
  rewritten ///< one line that is written over, for a terminal
};

/// What suits standard error.
progress_style style_of_standard_error();

/// Passes keyframes on. Tells what was not taken and why, and how many were taken.
class progress_sink final : public keyframe_sink {
public:
  /// `interval`: the least time between two lines; none: what suits the style.
  progress_sink(keyframe_sink& next, std::string what, std::optional<uint64_t> total, progress_style style,
                std::optional<std::chrono::milliseconds> interval = {});
  progress_sink(keyframe_sink& next, std::string what, std::optional<uint64_t> total, progress_style style, std::ostream& out,
                std::optional<std::chrono::milliseconds> interval);
  /// Ends the line.
  ~progress_sink() override;
  progress_sink(const progress_sink&) = delete;
  progress_sink& operator=(const progress_sink&) = delete;

  void offer(map_input what, completion done) override;
  void correct(correction what, completion done) override;
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override;

  /// "120 of 10000 keyframes", of those that were answered.
  [[nodiscard]] std::string so_far() const;

private:
  void tell(bool last);
  void complain(const std::string& what, const std::string& reason);

  keyframe_sink& next_;
  const std::string what_;
  const std::optional<uint64_t> total_;
  const progress_style style_;
  std::ostream& out_;
  const std::chrono::milliseconds interval_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::atomic<uint64_t> answered_ = 0;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point told_ = start_;
  bool told_once_ = false;
  uint64_t complaints_ = 0;
};

} // namespace tessera
