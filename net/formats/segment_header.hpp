#pragma once
// The keyframe layouts of docs/protocol.md: shared memory segments, HTTP bodies and AMQP bodies.

#include "messages/keyframe.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// Header sizes of the two layouts in the field.
inline constexpr size_t short_header_bytes = 104, long_header_bytes = 108;
/// More points than this in one keyframe are refused; the map's own limit.
inline constexpr uint32_t max_keyframe_points = 1u << 22;
/// No keyframe is larger than this.
inline constexpr uint64_t max_keyframe_bytes = long_header_bytes + uint64_t{max_keyframe_points} * (12 + 4 + 4);

/// The content type of a keyframe as the body of a message (the 108-byte form).
inline constexpr const char* keyframe_content_type = "application/vnd.tessera.keyframe";

/// What a header says, checked against the size of the whole, and where the arrays begin.
struct segment_header {
  uint64_t timestamp_ns = 0;
  uint32_t point_count = 0;
  /// 3 or 4; older producers write 0 for 3.
  uint32_t channels = 3;
  bool has_confidence = false;
  /// As written: row-major or transposed, see pose_of.
  std::array<float, 16> pose_matrix{};
  /// min xyz, max xyz; can be all zeros.
  std::array<float, 6> bbox{};
  /// 104 or 108.
  uint32_t header_bytes = 0;
  /// Byte offsets of the arrays; confidence_offset is 0 if there is none.
  uint64_t points_offset = 0, colours_offset = 0, confidence_offset = 0;
  uint64_t total_bytes = 0;
};

/// Reads a header. `begin` holds at least the first 108 bytes of the whole, or all of it if it is shorter;
/// `total_bytes` is the size of the whole, which alone decides which layout it is. Throws bad_input.
segment_header parse_segment_header(std::span<const std::byte> begin, uint64_t total_bytes);

/// How a header's pose matrix is laid out.
enum class pose_layout : uint8_t { automatic, row_major, column_major };

/// Tells which way a pose is meant by the 0 0 0 1 in its last row (row-major) or last column (transposed),
/// and returns it row-major. Where both fit, `preferred` decides (automatic: row-major). Throws bad_input if
/// neither fits or a value is not finite.
pose pose_of(const std::array<float, 16>& matrix, pose_layout preferred);

/// Says in words that a pose has a value which is not finite (field name, place, value), or returns an empty
/// string.
std::string why_not_finite(const std::string& field, std::span<const float> values);

/// A keyframe body in a message that is kept whole: points and colours are used where they lie.
class message_body final : public keyframe_body {
public:
  /// `header` must have been parsed from `bytes`.
  message_body(std::vector<std::byte> bytes, const segment_header& header);
  [[nodiscard]] std::span<const float> points() const override;
  [[nodiscard]] std::span<const uint8_t> colours() const override;
  [[nodiscard]] uint32_t channels() const override { return header_.channels; }
  [[nodiscard]] std::span<const float> confidence() const override { return confidence_; }

private:
  std::vector<std::byte> bytes_;
  segment_header header_;
  std::vector<float> confidence_; // copied: after 3-byte colours it is seldom aligned
};

/// Makes a keyframe of a whole message (either layout). The id comes from outside the message; received_ns is
/// set to now. Throws bad_input.
keyframe keyframe_of_message(std::vector<std::byte> bytes, keyframe_id id, pose_layout preferred);

/// Throws bad_input unless the id has 1 to 256 bytes of UTF-8 without control characters, and its session 0 to 64.
void check_keyframe_id(const keyframe_id& id);

/// Throws bad_input unless the group has 0 to 64 bytes of UTF-8 without control characters.
void check_group(std::string_view group);

} // namespace tessera
