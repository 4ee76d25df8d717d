#pragma once

#include "messages/ids.hpp"
#include "messages/pose.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tessera {

/// The points of a keyframe: immutable, perhaps a mapping of memory that another process wrote (zero copy).
class keyframe_body {
public:
  virtual ~keyframe_body() = default;
  /// N x 3 world coordinates in metres, x y z.
  [[nodiscard]] virtual std::span<const float> points() const = 0;
  /// N x channels() bytes, sRGB (and an ignored fourth channel).
  [[nodiscard]] virtual std::span<const uint8_t> colours() const = 0;
  /// 3 or 4.
  [[nodiscard]] virtual uint32_t channels() const = 0;
  /// N values, or empty if the producer gave none.
  [[nodiscard]] virtual std::span<const float> confidence() const = 0;
  /// Returns why the memory changed or vanished while it was read, or an empty string. Ask after the last read; a reading that
  /// was not whole must be thrown away.
  [[nodiscard]] virtual std::string torn() const { return {}; }
  [[nodiscard]] size_t size() const { return points().size() / 3; }
};

/// A keyframe body that owns its arrays.
class owned_keyframe_body final : public keyframe_body {
public:
  std::vector<float> point_data;
  std::vector<uint8_t> colour_data;
  std::vector<float> confidence_data;
  uint32_t channel_count = 3;
  [[nodiscard]] std::span<const float> points() const override { return point_data; }
  [[nodiscard]] std::span<const uint8_t> colours() const override { return colour_data; }
  [[nodiscard]] uint32_t channels() const override { return channel_count; }
  [[nodiscard]] std::span<const float> confidence() const override { return confidence_data; }
};

/// One keyframe as a source gives it.
struct keyframe {
  keyframe_id id;
  /// The producer's time, nanoseconds; of its own clock.
  uint64_t timestamp_ns = 0;
  /// When this service first heard of it: nanoseconds since 1970 (system clock).
  uint64_t received_ns = 0;
  pose world_from_camera;
  std::shared_ptr<const keyframe_body> body;
  /// The kind of source it came by: shm, amqp, http, rgbd, synthetic.
  std::string source;
  /// A label of the producer's choice, at most 64 bytes (a robot, a floor); may be empty.
  std::string group;
  /// Its place among all that was offered to this process; 0: it has none yet, or another process took it.
  uint64_t admission = 0;
};

/// Which live keyframes are meant: those that match all that is given, so all of them if nothing is.
struct keyframe_selection {
  std::optional<std::string> session, source, group;
  std::optional<uint64_t> before_ns{}; ///< their own time is less than this, and told (not 0)
  /// The request's place among all that was offered to this process: what has a later one is not meant, however often the
  /// request is asked for again. 0: it has none yet, and whatever is there is meant.
  uint64_t admission = 0;
  friend bool operator==(const keyframe_selection&, const keyframe_selection&) = default;
};

/// What became of a keyframe, a retraction or a new pose.
enum class outcome : uint8_t {
  accepted,  ///< It is safe: stored, and given to every region that it touches.
  duplicate, ///< Its id is live already; nothing changed. A success to whoever sent it.
  unknown,   ///< A retraction or revision of an id that is not live; a keyframe of an id that never was, and is retracted,
             ///< stays out when it comes.
  refused,   ///< It is bad: set aside for the given reason, and would be refused again as it is.
  dropped,   ///< The policy `newest` let it go for a newer one.
  not_now,  ///< The service cannot take it at the moment, through no fault of the keyframe: it stays with its sender, to be tried
            ///< again.
  conflict, ///< Its id is live with other content; nothing changed. Set aside; the producer wants another id or session.
  retracted, ///< A keyframe whose id was retracted before it came: it stays out. A success to whoever sent it.
};

/// Of a request about many keyframes: those that it left as they were, by outcome.
struct keyframes_left {
  uint64_t duplicate = 0, unknown = 0, refused = 0, not_now = 0;
  friend bool operator==(const keyframes_left&, const keyframes_left&) = default;
};

/// The answer to each keyframe, retraction, revision and correction.
struct verdict {
  outcome what = outcome::accepted;
  /// For `refused` and `conflict`: the field, the value and the bound, in words. For `not_now`: what is short, and how much.
  std::string reason;
  /// Of a request about many: how many keyframes were taken out, or have their new pose.
  uint64_t keyframes = 0;
  keyframes_left left{};
  friend bool operator==(const verdict&, const verdict&) = default;
};

} // namespace tessera
