#pragma once

#include "messages/keyframe_sink.hpp"

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>

namespace tessera {

/// Something that brings keyframes in. It knows the sink it is given and nothing else of the system.
class source {
public:
  virtual ~source() = default;
  source() = default;
  source(const source&) = delete;
  source& operator=(const source&) = delete;
  /// shm, amqp, rgbd, synthetic or recording; what `set_aside` is called with.
  [[nodiscard]] virtual std::string kind() const = 0;
  /// Where the keyframes come from, for people; never holds a password.
  [[nodiscard]] virtual std::string where() const = 0;
  /// Brings keyframes until the input ends or a stop is asked for; blocks. Throws std::runtime_error (what,
  /// where, what to do) if it cannot even start; bad input later is set aside. What `is_shortage` says is no fault of the input:
  /// run it again a little later, and nothing is lost. Ask the stop before the sink closes: what the sink refuses while a stop is
  /// asked for is neither acknowledged nor unlinked, so that it comes again.
  virtual void run(keyframe_sink& sink, std::stop_token stop) = 0;
  /// What keeps it from bringing keyframes at the moment though it runs, in words (a broker that is away, a queue that cannot be
  /// made); empty if nothing does. Threads: any.
  [[nodiscard]] virtual std::string trouble() const { return {}; }
  /// Number of keyframes that `run` will offer, if it is known.
  [[nodiscard]] virtual std::optional<uint64_t> total() const { return std::nullopt; }
  /// Whether it may bring revisions and retractions too, and keyframes that come again.
  [[nodiscard]] virtual bool brings_changes() const { return false; }
  /// Whether an id may come again with other content, which is no repetition then.
  [[nodiscard]] virtual bool ids_repeat() const { return brings_changes(); }
};

} // namespace tessera
