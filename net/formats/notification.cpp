#include "net/formats/notification.hpp"

#include "net/base/bad_input.hpp"
#include "net/base/utf8.hpp"
#include "net/formats/json_values.hpp"
#include "net/formats/msgpack.hpp"
#include "net/formats/revisions.hpp"
#include "net/formats/segment_header.hpp"

#include <nlohmann/json.hpp>

namespace tessera {

namespace {

using nlohmann::json;

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
    refuse_kind("notification", whole, "a map");
  notification note;
  std::optional<notification::type> what;
  bool named = false, typed = false, many = false;
  for (const auto& [key, value] : whole.get_ref<const json::object_t&>()) {
    if (!is_utf8(key))
      throw bad_input("a key is not valid UTF-8");
    if (key == "type") {
      const auto& name = text_of(value, key);
      what = type_named(name);
      typed = true;
      if (!what)
        throw bad_input("type is '" + printable(name) + "', must be keyframe.new, keyframe.revise or keyframe.retract");
    } else if (key == "keyframe_id") {
      note.id.value = id_text_of(value, key);
      named = true;
    } else if (value.is_null()) {
      continue;
    } else if (key == "session") {
      note.id.session = text_of(value, key);
    } else if (key == "group") {
      note.group = text_of(value, key);
    } else if (key == "timestamp_ns") {
      note.timestamp_ns = unsigned_of(value, key);
    } else if (key == "pose_matrix") {
      note.world_from_camera = pose_of(value, key);
    } else if (key == "revision") {
      note.revision = unsigned_of(value, key);
    } else if (key == "revisions" || key == "transform") {
      many = true;
    } else if (key == "shm_key") {
      note.shm_key = text_of(value, key);
      if (note.shm_key.empty())
        throw bad_input("shm_key is empty");
    } else if (key == "point_count") {
      auto count = unsigned_of(value, key);
      if (count > max_keyframe_points)
        throw bad_input("point_count is " + std::to_string(count) + ", at most " + std::to_string(max_keyframe_points)
                        + " are taken");
      note.point_count = static_cast<uint32_t>(count);
    } else if (key == "bbox") {
      const auto& box = list_of(6, value, key);
      note.bbox.emplace();
      for (size_t k = 0; k < 6; ++k)
        (*note.bbox)[k] = static_cast<float>(number_of(box[k], entry_name(key, k))); // only a hint: any value will do
    }
  }
  if (!typed) {
    what = type_named(routing_key);
    if (!what)
      throw bad_input("type is missing, and the routing key '" + printable(routing_key) + "' does not tell it");
  }
  note.what = *what;
  if (many && note.what == notification::type::revise) {
    note.many = read_revisions(whole, /*from_notification=*/true);
    return note;
  }
  if (!named)
    throw bad_input("keyframe_id is missing");
  check_keyframe_id(note.id);
  check_group(note.group);
  if (note.what == notification::type::revise && !note.world_from_camera)
    throw bad_input("pose_matrix is missing: keyframe.revise brings a new pose");
  return note;
}

} // namespace tessera
