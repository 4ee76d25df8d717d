#pragma once

#include "messages/map_input.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tessera {

/// A notification larger than this is refused unread.
inline constexpr size_t max_notification_bytes = 1 << 20;

/// What a producer says over the broker (docs/protocol.md).
struct notification {
  enum class type : uint8_t { fresh, revise, retract };
  type what = type::fresh;
  keyframe_id id; ///< with its session, if one is said
  std::string group;
  std::optional<uint64_t> timestamp_ns;
  /// Always row-major on this way in; given for every `keyframe.revise`.
  std::optional<pose> world_from_camera;
  /// Empty: the prefix and the id.
  std::string shm_key;
  std::optional<uint32_t> point_count;
  std::optional<std::array<float, 6>> bbox;
  /// Of a `keyframe.revise`: its number.
  std::optional<uint64_t> revision;
  /// A `keyframe.revise` of many, or of a group: then the id is empty.
  std::optional<correction> many;
};

/// Reads a MessagePack notification. `routing_key` stands in for a missing `type`. Keys that are not known
/// are ignored, those that are optional may be missing or nil. Throws bad_input; takes time and memory in
/// proportion to the bytes, never to what they claim.
notification parse_notification(std::span<const std::byte> bytes, std::string_view routing_key);

} // namespace tessera
