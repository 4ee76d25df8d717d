#pragma once

#include "messages/map_input.hpp"

#include <functional>

namespace tessera {

/// Where a source puts what it gets: the running service, an offline map, a broker. A source knows nothing else of the system.
///
/// Threads: any. Every `done` is called exactly once, from any thread, perhaps before the call returns; it must not block.
class keyframe_sink {
public:
  using completion = std::function<void(const verdict&)>;
  virtual ~keyframe_sink() = default;
  /// Offers a keyframe, a revision or a retraction. Blocks while there is no credit (backpressure); returns at once when the sink
  /// is closing, with `not_now`.
  virtual void offer(map_input what, completion done) = 0;
  /// Takes out all keyframes that match, and says how many. A sink that does not know what is live refuses.
  virtual void retract_all(keyframe_selection which, completion done) {
    (void)which;
    done({outcome::refused, "this sink cannot take out many keyframes at once"});
  }
  /// Moves many keyframes, and says how many. A sink that does not know what is live refuses.
  virtual void correct(correction what, completion done) {
    (void)what;
    done({outcome::refused, "this sink cannot move many keyframes at once"});
  }
  /// Counts an input that could not even be made a keyframe (unreadable message, bad header) and says why.
  /// `source` is the source's kind (shm, amqp, http, rgbd, synthetic); `what` names the input.
  virtual void set_aside(const std::string& source, const std::string& what, const std::string& reason) = 0;
};

} // namespace tessera
