#pragma once

#include "messages/ids.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace tessera {

/// What stays in the map at most; 0: no bound.
struct retention_limits {
  uint64_t keyframes = 0;
  std::chrono::seconds age{0}; ///< since they came
  uint64_t ray_bytes = 0;      ///< of their rays, 16 bytes each; the newest keyframe stays, whatever it takes
  [[nodiscard]] bool any() const { return keyframes > 0 || age.count() > 0 || ray_bytes > 0; }
};

/// The limits in words: "5000 keyframes, 7200 s, 4000000000 bytes of rays".
std::string describe(const retention_limits& limits);

/// Which keyframes are the oldest of those that are kept, and whether the first of them is beyond the limits and has to go. Knows
/// nothing, and takes no memory, if there are no limits.
///
/// The age of what came in this process is told by a clock that never jumps. What came before is as old as the least that the
/// system's clock has said since the start, and at least as old as this process is; and it goes for its age no sooner than
/// `first_look` after the start. So a system clock that is ahead for a moment, or until it is set after a boot, costs nothing.
class retention {
public:
  /// What two clocks show at the same moment.
  struct moment {
    std::chrono::steady_clock::time_point now;
    uint64_t system_ns = 0; ///< since 1970
  };

  static constexpr std::chrono::minutes first_look{1};

  retention(const retention_limits& limits, const moment& start);

  /// These will be there again, oldest first; until then they count as keyframes, without rays and without age.
  void expect(const std::vector<keyframe_id>& ids);
  /// One that came in an earlier process, at that time by the system's clock, is there. It keeps its place.
  void enter_kept(const keyframe_id& id, uint64_t rays, uint64_t received_ns);
  /// One comes now: it is the newest.
  void enter(const keyframe_id& id, uint64_t rays, std::chrono::steady_clock::time_point now);
  /// It is there no more, or will not be.
  void erase(const keyframe_id& id);

  /// The oldest that does not leave yet, if the others and it are beyond the limits.
  std::optional<keyframe_id> due(const moment& at);
  /// When due() may have another answer though nothing came or went; nothing if never.
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> next(const moment& at) const;

  /// It is being taken out: it counts no more.
  void leave(const keyframe_id& id);
  /// It could not be taken out.
  void stay(const keyframe_id& id);
  /// Whether it is the same one, and being taken out. One that came anew under the id is not.
  [[nodiscard]] bool leaves(const keyframe_id& id) const;

private:
  struct entry {
    uint64_t place = 0;
    uint64_t rays = 0;
    std::chrono::steady_clock::time_point since{}; ///< when it came, or this process began
    std::optional<uint64_t> received_ns{};         ///< of one that came before
    bool expected = false, leaving = false;
  };

  /// Enters it, in its old place if it has one and keeps it.
  entry& put(const keyframe_id& id, uint64_t rays, bool keeps_place);
  [[nodiscard]] std::chrono::nanoseconds age(const entry& of, const moment& at) const;
  [[nodiscard]] bool may_tell_age(const entry& of, const moment& at) const;

  const retention_limits limits_;
  const std::chrono::steady_clock::time_point start_;
  uint64_t start_ns_; ///< by the system's clock: the least that it has said of it
  std::unordered_map<keyframe_id, entry> entries_;
  std::map<uint64_t, keyframe_id> order_; ///< by place, of those that do not leave
  uint64_t places_ = 0;
  uint64_t rays_ = 0; ///< of those that do not leave
};

} // namespace tessera
