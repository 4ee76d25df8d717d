#include "net/formats/notification.hpp"

#include "net/base/bad_input.hpp"
#include "net/base/utf8.hpp"
#include "net/formats/msgpack.hpp"
#include "net/formats/segment_header.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <limits>

namespace tessera {

namespace {

using nlohmann::json;

const char* kind_of(const json& value) {
  switch (value.type()) {
  case json::value_t::boolean:
    return "a boolean";
  case json::value_t::number_integer:
    return "a negative integer";
  case json::value_t::number_unsigned:
    return "an integer";
  case json::value_t::number_float:
    return "a float";
  case json::value_t::string:
    return "a text";
  case json::value_t::binary:
    return value.get_binary().has_subtype() ? "an extension" : "binary";
  case json::value_t::array:
    return "a list";
  case json::value_t::object:
    return "a map";
  default:
    return "nil";
  }
}

[[noreturn]] void refuse(const std::string& field, const json& value, const char* wanted) {
  throw bad_input(field + " is " + kind_of(value) + ", must be " + wanted);
}

const std::string& text(const json& value, const std::string& field) {
  if (!value.is_string())
    refuse(field, value, "a text");
  const auto& found = value.get_ref<const std::string&>();
  if (!is_utf8(found))
    throw bad_input(field + " is not valid UTF-8");
  return found;
}

uint64_t unsigned_integer(const json& value, const std::string& field) {
  if (value.is_number_unsigned())
    return value.get<uint64_t>();
  if (value.is_number_integer())
    throw bad_input(field + " is " + value.dump() + ", must not be negative");
  refuse(field, value, "an integer");
}

double number(const json& value, const std::string& field) {
  if (!value.is_number())
    refuse(field, value, "a number");
  return value.get<double>();
}

const json::array_t& list(const json& value, const std::string& field) {
  if (!value.is_array())
    refuse(field, value, "a list");
  return value.get_ref<const json::array_t&>();
}

const json::array_t& list_of(size_t wanted, const json& value, const std::string& field) {
  const auto& found = list(value, field);
  if (found.size() != wanted)
    throw bad_input(field + " has " + std::to_string(found.size()) + " elements, must have " + std::to_string(wanted));
  return found;
}

std::string entry(const std::string& field, size_t i) {
  return field + "[" + std::to_string(i) + "]";
}

float finite_float(const json& in, const std::string& field) {
  double value = number(in, field);
  if (!std::isfinite(value))
    throw bad_input(field + " is " + (std::isnan(value) ? "not a number" : "infinite"));
  if (std::fabs(value) > static_cast<double>(std::numeric_limits<float>::max()))
    throw bad_input(field + " is " + std::to_string(value) + ", which no 32-bit float holds");
  return static_cast<float>(value);
}

/// Four lists of four numbers; sixteen in one list are understood, too.
pose read_pose(const json& in, const std::string& field) {
  pose p;
  if (const auto& flat = list(in, field); flat.size() == 16 && !flat[0].is_array()) {
    for (size_t i = 0; i < 16; ++i)
      p.m[i] = finite_float(flat[i], entry(field, i));
    return p;
  }
  const auto& rows = list_of(4, in, field);
  for (size_t r = 0; r < 4; ++r) {
    const auto name = entry(field, r);
    const auto& row = list_of(4, rows[r], name);
    for (size_t c = 0; c < 4; ++c)
      p.m[4 * r + c] = finite_float(row[c], entry(name, c));
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
  const auto whole = read_msgpack(bytes);
  if (!whole.is_object())
    refuse("notification", whole, "a map");
  notification note;
  std::optional<notification::type> what;
  bool named = false, typed = false;
  for (const auto& [key, value] : whole.get_ref<const json::object_t&>()) {
    if (!is_utf8(key))
      throw bad_input("a key is not valid UTF-8");
    if (key == "type") {
      const auto& name = text(value, key);
      what = type_named(name);
      typed = true;
      if (!what)
        throw bad_input("type is '" + printable(name) + "', must be keyframe.new, keyframe.revise or keyframe.retract");
    } else if (key == "keyframe_id") {
      note.id.value = value.is_number_integer() ? value.dump() : text(value, key); // older producers count their keyframes
      named = true;
    } else if (value.is_null()) {
      continue;
    } else if (key == "session") {
      note.id.session = text(value, key);
    } else if (key == "group") {
      note.group = text(value, key);
    } else if (key == "timestamp_ns") {
      note.timestamp_ns = unsigned_integer(value, key);
    } else if (key == "pose_matrix") {
      note.world_from_camera = read_pose(value, key);
    } else if (key == "shm_key") {
      note.shm_key = text(value, key);
      if (note.shm_key.empty())
        throw bad_input("shm_key is empty");
    } else if (key == "point_count") {
      auto count = unsigned_integer(value, key);
      if (count > max_keyframe_points)
        throw bad_input("point_count is " + std::to_string(count) + ", at most " + std::to_string(max_keyframe_points)
                        + " are taken");
      note.point_count = static_cast<uint32_t>(count);
    } else if (key == "bbox") {
      const auto& box = list_of(6, value, key);
      note.bbox.emplace();
      for (size_t k = 0; k < 6; ++k)
        (*note.bbox)[k] = static_cast<float>(number(box[k], entry(key, k))); // only a hint: any value will do
    }
  }
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
