#include "net/formats/segment_header.hpp"

#include "messages/clock.hpp"
#include "messages/names.hpp"
#include "net/base/bad_input.hpp"

#include <bit>
#include <cmath>
#include <cstring>

namespace tessera {

static_assert(std::endian::native == std::endian::little, "segments are little-endian and used where they lie");

namespace {

template <class T>
T read_at(std::span<const std::byte> bytes, size_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

std::string text(uint64_t value) {
  return std::to_string(value);
}

/// How far three values and a last one are from 0 0 0 1.
float distance_to_0001(float a, float b, float c, float d) {
  return std::fmax(std::fmax(std::fabs(a), std::fabs(b)), std::fmax(std::fabs(c), std::fabs(d - 1)));
}

} // namespace

segment_header parse_segment_header(std::span<const std::byte> begin, uint64_t total_bytes) {
  if (total_bytes < short_header_bytes || begin.size() < short_header_bytes)
    throw bad_input("truncated header: " + text(std::min<uint64_t>(total_bytes, begin.size())) + " bytes, a header has "
                    + text(short_header_bytes) + " or " + text(long_header_bytes));
  segment_header h;
  h.total_bytes = total_bytes;
  h.timestamp_ns = read_at<uint64_t>(begin, 0);
  h.point_count = read_at<uint32_t>(begin, 8);
  h.channels = read_at<uint32_t>(begin, 12);
  if (h.channels == 0)
    h.channels = 3; // the field was unused once
  if (h.channels != 3 && h.channels != 4)
    throw bad_input("colour channels is " + text(h.channels) + ", must be 3 or 4, or 0 for 3");
  if (h.point_count == 0)
    throw bad_input("point_count is 0: an empty keyframe");
  if (h.point_count > max_keyframe_points)
    throw bad_input("point_count is " + text(h.point_count) + ", at most " + text(max_keyframe_points) + " are taken");
  // At most 2^22 * 20 + 108 from here on: nothing can overflow.
  uint64_t n = h.point_count;
  uint64_t arrays = n * (12 + h.channels);
  size_t pose_at = 0;
  if (total_bytes == short_header_bytes + arrays) {
    h.header_bytes = short_header_bytes;
    pose_at = 16;
  } else {
    if (begin.size() < long_header_bytes)
      throw bad_input("truncated header: " + text(begin.size()) + " bytes");
    auto flag = read_at<uint32_t>(begin, 16);
    uint64_t without = long_header_bytes + arrays, with = without + 4 * n;
    if (total_bytes != without && total_bytes != with)
      throw bad_input("point_count " + text(n) + " with " + text(h.channels) + " channels does not fit the size of "
                      + text(total_bytes) + " bytes: " + text(short_header_bytes + arrays) + ", " + text(without) + " or "
                      + text(with) + " would");
    if (flag > 1)
      throw bad_input("has_confidence is " + text(flag) + ", must be 0 or 1");
    if (total_bytes != (flag ? with : without))
      throw bad_input("has_confidence is " + text(flag) + ", which does not fit the size of " + text(total_bytes)
                      + " bytes: " + text(flag ? with : without) + " would");
    h.has_confidence = flag == 1;
    h.header_bytes = long_header_bytes;
    pose_at = 20;
  }
  std::memcpy(h.pose_matrix.data(), begin.data() + pose_at, sizeof h.pose_matrix);
  std::memcpy(h.bbox.data(), begin.data() + pose_at + sizeof h.pose_matrix, sizeof h.bbox);
  h.points_offset = h.header_bytes;
  h.colours_offset = h.points_offset + 12 * n;
  if (h.has_confidence)
    h.confidence_offset = h.colours_offset + n * h.channels;
  return h;
}

std::string why_not_finite(const std::string& field, std::span<const float> values) {
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      return field + " element " + text(i) + " is " + (std::isnan(values[i]) ? "not a number" : "infinite");
  return {};
}

pose pose_of(const std::array<float, 16>& m, pose_layout preferred) {
  if (auto why = why_not_finite("pose_matrix", m); !why.empty())
    throw bad_input(why);
  float row = distance_to_0001(m[12], m[13], m[14], m[15]);
  float column = distance_to_0001(m[3], m[7], m[11], m[15]);
  bool row_fits = row <= pose_tolerance, column_fits = column <= pose_tolerance;
  if (!row_fits && !column_fits)
    throw bad_input("pose_matrix: neither its last row (" + std::to_string(m[12]) + " " + std::to_string(m[13]) + " "
                    + std::to_string(m[14]) + " " + std::to_string(m[15]) + ") nor its last column is 0 0 0 1 within "
                    + std::to_string(pose_tolerance));
  bool transposed = !row_fits;
  if (row_fits && column_fits) {
    // A tiny translation looks like rounding: an exact 0 0 0 1 says more than a near one.
    if ((row == 0) != (column == 0))
      transposed = column == 0;
    else
      transposed = preferred == pose_layout::column_major;
  }
  pose p;
  for (size_t r = 0; r < 4; ++r)
    for (size_t c = 0; c < 4; ++c)
      p.m[4 * r + c] = transposed ? m[4 * c + r] : m[4 * r + c];
  return p;
}

message_body::message_body(std::vector<std::byte> bytes, const segment_header& header)
  : bytes_(std::move(bytes)), header_(header) {
  if (header_.has_confidence) {
    confidence_.resize(header_.point_count);
    std::memcpy(confidence_.data(), bytes_.data() + header_.confidence_offset, 4 * confidence_.size());
  }
}

std::span<const float> message_body::points() const {
  // Both header sizes are multiples of 4 and vectors are aligned for any scalar.
  return {reinterpret_cast<const float*>(bytes_.data() + header_.points_offset), size_t{header_.point_count} * 3};
}

std::span<const uint8_t> message_body::colours() const {
  return {reinterpret_cast<const uint8_t*>(bytes_.data() + header_.colours_offset),
          size_t{header_.point_count} * header_.channels};
}

keyframe keyframe_of_message(std::vector<std::byte> bytes, keyframe_id id, pose_layout preferred) {
  check_keyframe_id(id);
  auto header = parse_segment_header(bytes, bytes.size());
  keyframe frame;
  frame.id = std::move(id);
  frame.timestamp_ns = header.timestamp_ns;
  frame.received_ns = system_ns();
  frame.world_from_camera = pose_of(header.pose_matrix, preferred);
  frame.body = std::make_shared<const message_body>(std::move(bytes), header);
  return frame;
}

void check_keyframe_id(const keyframe_id& id) {
  if (auto fault = fault_of_id(id))
    throw bad_input(*fault);
}

void check_group(std::string_view group) {
  if (auto fault = fault_of_group(group))
    throw bad_input(*fault);
}

} // namespace tessera
