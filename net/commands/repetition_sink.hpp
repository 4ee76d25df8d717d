#pragma once

#include "messages/keyframe_sink.hpp"

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

namespace tessera {

/// Passes keyframes on to a map without actors, but for those whose id is live already. Tells these apart as a service does: the
/// same content again is a repetition, any other a conflict. Reads every keyframe for a digest of it: 0.5 ms for 4 MB.
///
/// Threads: any may offer; what was counted is asked for when all is answered.
class repetition_sink final : public keyframe_sink {
public:
  explicit repetition_sink(keyframe_sink& next) : next_(next) {}

  void offer(keyframe frame, completion done) override;
  void retract(keyframe_id id, completion done) override;
  void revise(keyframe_id id, pose world_from_camera, completion done) override;
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override;

  [[nodiscard]] uint64_t repetitions() const { return repetitions_; }
  [[nodiscard]] uint64_t conflicts() const { return conflicts_; }
  /// "2 keyframes came again and count once; 1 is in conflict ...", or nothing if there were none.
  [[nodiscard]] std::string summary() const;

private:
  struct content {
    uint64_t digest = 0; ///< of points, colours and confidence
    pose came_with, now;
  };

  verdict told_apart(const keyframe_id& id, const content& live, const content& again);

  keyframe_sink& next_;
  std::mutex mutex_;
  std::unordered_map<keyframe_id, content> live_;
  uint64_t repetitions_ = 0, conflicts_ = 0;
};

} // namespace tessera
