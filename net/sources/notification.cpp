#include "net/sources/notification.hpp"

#include "net/sources/bad_input.hpp"
#include "net/sources/msgpack.hpp"
#include "net/sources/segment_header.hpp"
#include "net/sources/utf8.hpp"

#include <cmath>
#include <limits>

namespace tessera {

namespace {

float finite_float(msgpack_reader& in, const std::string& field) {
  double value = in.number(field);
  if (!std::isfinite(value))
    throw bad_input(field + " is " + (std::isnan(value) ? "not a number" : "infinite"));
  if (std::fabs(value) > static_cast<double>(std::numeric_limits<float>::max()))
    throw bad_input(field + " is " + std::to_string(value) + ", which no 32-bit float holds");
  return static_cast<float>(value);
}

void expect_size(const std::string& field, uint32_t found, uint32_t wanted) {
  if (found != wanted)
    throw bad_input(field + " has " + std::to_string(found) + " elements, must have " + std::to_string(wanted));
}

/// Four lists of four numbers; sixteen in one list are understood, too.
pose read_pose(msgpack_reader& in) {
  pose p;
  uint32_t rows = in.list_size("pose_matrix");
  if (rows == 16 && !in.at_list()) {
    for (size_t i = 0; i < 16; ++i)
      p.m[i] = finite_float(in, "pose_matrix[" + std::to_string(i) + "]");
    return p;
  }
  expect_size("pose_matrix", rows, 4);
  for (size_t r = 0; r < 4; ++r) {
    std::string row = "pose_matrix[" + std::to_string(r) + "]";
    expect_size(row, in.list_size(row), 4);
    for (size_t c = 0; c < 4; ++c)
      p.m[4 * r + c] = finite_float(in, row + "[" + std::to_string(c) + "]");
  }
  return p;
}

std::optional<notification::type> type_named(std::string_view name) {
  if (name == "keyframe.new")
    return notification::type::fresh;
  if (name == "keyframe.revise")
    return notification::type::revise;
  if (name == "keyframe.retract")
    return notification::type::retract;
  return std::nullopt;
}

} // namespace

notification parse_notification(std::span<const std::byte> bytes, std::string_view routing_key) {
  if (bytes.size() > max_notification_bytes)
    throw bad_input("notification has " + std::to_string(bytes.size()) + " bytes, at most "
                    + std::to_string(max_notification_bytes) + " are read");
  msgpack_reader in(bytes);
  notification note;
  std::optional<notification::type> what;
  bool named = false, typed = false;
  uint32_t pairs = in.map_size("notification");
  for (uint32_t i = 0; i < pairs; ++i) {
    auto key = in.string("a key");
    if (key == "type") {
      auto name = in.string("type");
      what = type_named(name);
      typed = true;
      if (!what)
        throw bad_input("type is '" + printable(name) + "', must be keyframe.new, keyframe.revise or keyframe.retract");
    } else if (key == "keyframe_id") {
      note.id.value = in.string_or_integer("keyframe_id"); // older producers count their keyframes
      named = true;
    } else if (in.skip_nil()) {
      continue;
    } else if (key == "session") {
      note.id.session = in.string("session");
    } else if (key == "group") {
      note.group = in.string("group");
    } else if (key == "timestamp_ns") {
      note.timestamp_ns = in.unsigned_integer("timestamp_ns");
    } else if (key == "pose_matrix") {
      note.world_from_camera = read_pose(in);
    } else if (key == "shm_key") {
      note.shm_key = in.string("shm_key");
      if (note.shm_key.empty())
        throw bad_input("shm_key is empty");
    } else if (key == "point_count") {
      auto count = in.unsigned_integer("point_count");
      if (count > max_keyframe_points)
        throw bad_input("point_count is " + std::to_string(count) + ", at most " + std::to_string(max_keyframe_points)
                        + " are taken");
      note.point_count = static_cast<uint32_t>(count);
    } else if (key == "bbox") {
      expect_size("bbox", in.list_size("bbox"), 6);
      note.bbox.emplace();
      for (size_t k = 0; k < 6; ++k)
        (*note.bbox)[k] = static_cast<float>(in.number("bbox[" + std::to_string(k) + "]")); // only a hint: any value will do
    } else {
      in.skip();
    }
  }
  in.expect_end();
  if (!typed) {
    what = type_named(routing_key);
    if (!what)
      throw bad_input("type is missing, and the routing key '" + printable(routing_key) + "' does not tell it");
  }
  note.what = *what;
  if (!named)
    throw bad_input("keyframe_id is missing");
  check_keyframe_id(note.id);
  check_group(note.group);
  if (note.what == notification::type::revise && !note.world_from_camera)
    throw bad_input("pose_matrix is missing: keyframe.revise brings a new pose");
  return note;
}

} // namespace tessera
