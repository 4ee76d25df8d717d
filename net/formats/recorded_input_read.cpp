#include "messages/names.hpp"
#include "net/base/bad_input.hpp"
#include "net/base/utf8.hpp"
#include "net/formats/protobuf_wire.hpp"
#include "net/formats/recorded_input.hpp"
#include "net/formats/recorded_points.hpp"
#include "net/formats/segment_header.hpp"

#include <algorithm>
#include <cstring>

namespace tessera {

namespace {

constexpr uint32_t most_stride = 1024;
constexpr size_t most_fields = 64;

std::string text_of(const protobuf::field& from) {
  return std::string(from.bytes());
}

pose read_pose(const protobuf::field& from, const char* where) {
  pose out;
  const auto bytes = from.bytes();
  if (bytes.size() != sizeof out.m)
    throw bad_input(std::string(where) + ": world_from_camera has " + std::to_string(bytes.size()) + " bytes, must have "
                    + std::to_string(sizeof out.m));
  std::memcpy(out.m.data(), bytes.data(), sizeof out.m);
  return out;
}

void must_be_named(const keyframe_id& id, const char* where) {
  if (const auto fault = fault_of_id(id))
    throw bad_input(std::string(where) + ": " + *fault);
}

constexpr const char* cloud_name = "foxglove.PointCloud";
constexpr const char* keyframe_name = "tessera.Keyframe";

void read_keyframe_message(std::string_view message, keyframe& frame) {
  protobuf::reader from(message, keyframe_name);
  bool has_pose = false;
  while (const auto next = from.next())
    switch (next->number()) {
    case 1:
      frame.id.value = text_of(*next);
      break;
    case 2:
      frame.id.session = text_of(*next);
      break;
    case 3:
      frame.source = text_of(*next);
      break;
    case 4:
      frame.group = text_of(*next);
      break;
    case 5:
      frame.timestamp_ns = next->varint();
      break;
    case 6:
      frame.received_ns = next->varint();
      break;
    case 7:
      frame.world_from_camera = read_pose(*next, keyframe_name);
      has_pose = true;
      break;
    default:
      break;
    }
  must_be_named(frame.id, keyframe_name);
  if (!has_pose)
    throw bad_input(std::string(keyframe_name) + ": world_from_camera is missing");
  if (const auto fault = fault_of_group(frame.group))
    throw bad_input(std::string(keyframe_name) + ": " + *fault);
  if (fault_of_group(frame.source)) // what is true of one label is of the other
    throw bad_input(std::string(keyframe_name) + ": source is '" + printable(frame.source) + "', must be text of at most "
                    + std::to_string(max_group_bytes) + " bytes");
}

void read_element(std::string_view message, point_layout& layout) {
  constexpr const char* name = "foxglove.PackedElementField";
  protobuf::reader from(message, name);
  std::string_view called;
  uint32_t at = 0;
  uint64_t type = 0;
  while (const auto next = from.next())
    if (next->number() == 1)
      called = next->bytes();
    else if (next->number() == 2)
      at = next->fixed32();
    else if (next->number() == 3)
      type = next->varint();
  for (auto& one : layout.elements)
    if (one.name == called) {
      if (type != one.type)
        throw bad_input(std::string(name) + ": type of " + std::string(called) + " is " + std::to_string(type) + ", must be "
                        + std::to_string(one.type));
      one.at = at;
    }
}

void check_layout(const point_layout& layout) {
  const auto where = std::string(cloud_name) + ": ";
  if (layout.stride == 0 || layout.stride > most_stride)
    throw bad_input(where + "point_stride is " + std::to_string(layout.stride) + ", must be 1 to " + std::to_string(most_stride));
  for (const auto& one : layout.elements) {
    if (!one.at && one.needed)
      throw bad_input(where + "fields has no " + std::string(one.name));
    if (one.at && uint64_t{*one.at} + one.size() > layout.stride)
      throw bad_input(where + "offset of " + std::string(one.name) + " is " + std::to_string(*one.at)
                      + ", which with its size is more than point_stride " + std::to_string(layout.stride));
  }
}

std::shared_ptr<const keyframe_body> read_points(std::string_view data, point_layout layout) {
  check_layout(layout);
  const auto where = std::string(cloud_name) + ": ";
  if (data.size() % layout.stride != 0)
    throw bad_input(where + "data has " + std::to_string(data.size()) + " bytes, not a multiple of point_stride "
                    + std::to_string(layout.stride));
  const auto count = data.size() / layout.stride;
  if (count > max_keyframe_points)
    throw bad_input(where + "data has " + std::to_string(count) + " points, must have at most "
                    + std::to_string(max_keyframe_points));
  auto body = std::make_shared<owned_keyframe_body>();
  body->channel_count = layout.fourth().at ? 4 : 3;
  if (count == 0) // its arrays are nowhere
    return body;
  body->point_data.resize(3 * count);
  body->colour_data.resize(body->channel_count * count);
  body->confidence_data.resize(layout.confidence().at ? count : 0);
  for (size_t i = 0; i < layout.elements.size(); ++i) {
    const auto& one = layout.elements[i];
    if (!one.at)
      continue;
    const auto* from = data.data() + *one.at;
    if (i < 3)
      copy_each(reinterpret_cast<char*>(body->point_data.data() + i), 12, from, layout.stride, 4, count);
    else if (i < 7)
      copy_each(reinterpret_cast<char*>(body->colour_data.data() + (i - 3)), body->channel_count, from, layout.stride, 1, count);
    else
      copy_each(reinterpret_cast<char*>(body->confidence_data.data()), 4, from, layout.stride, 4, count);
  }
  return body;
}

} // namespace

std::optional<keyframe> read_keyframe(std::string_view message) {
  protobuf::reader from(message, cloud_name);
  point_layout layout;
  std::string_view data;
  std::optional<std::string_view> about;
  size_t fields = 0;
  while (const auto next = from.next())
    switch (next->number()) {
    case 4:
      layout.stride = next->fixed32();
      break;
    case 5:
      if (++fields > most_fields)
        throw bad_input(std::string(cloud_name) + ": fields has more than " + std::to_string(most_fields));
      read_element(next->bytes(), layout);
      break;
    case 6:
      data = next->bytes();
      break;
    case keyframe_field:
      about = next->bytes();
      break;
    default:
      break;
    }
  if (!about)
    return std::nullopt;
  keyframe frame;
  read_keyframe_message(*about, frame);
  frame.body = read_points(data, layout);
  return frame;
}

correction_entry read_move(std::string_view message) {
  constexpr const char* name = "tessera.Revision";
  const auto where = std::string(name) + ": ";
  correction_entry out;
  std::optional<pose> at;
  protobuf::reader from(message, name);
  while (const auto next = from.next())
    switch (next->number()) {
    case 1:
      out.id.value = text_of(*next);
      break;
    case 2:
      out.id.session = text_of(*next);
      break;
    case 3:
      at = read_pose(*next, name);
      break;
    case 4:
      out.number = next->varint();
      break;
    case 5:
      out.group = text_of(*next);
      break;
    default:
      break;
    }
  if (out.group.empty())
    must_be_named(out.id, name);
  else if (const auto fault = fault_of_group(out.group))
    throw bad_input(where + *fault);
  else if (!out.number)
    throw bad_input(where + "number is missing: a group's move must have one, so that it moves no keyframe twice");
  if (!at)
    throw bad_input(where + "world_from_camera is missing");
  out.to = *at;
  return out;
}

retraction read_retraction(std::string_view message) {
  constexpr const char* name = "tessera.Retraction";
  retraction out;
  protobuf::reader from(message, name);
  while (const auto next = from.next())
    if (next->number() == 1)
      out.id.value = text_of(*next);
    else if (next->number() == 2)
      out.id.session = text_of(*next);
  must_be_named(out.id, name);
  return out;
}

void recording_channels::take_schema(std::string_view content) {
  const auto schema = mcap::read_schema(content);
  schemas_.erase(schema.id);
  if (schema.id == 0 || schema.encoding != "protobuf") // 0 stands for none
    return;
  for (const auto stream : all_recording_streams)
    if (schema.name == schema_name_of(stream) && (stream != recording_stream::keyframes || has_keyframes(schema.data)))
      schemas_[schema.id] = stream;
}

void recording_channels::take_channel(std::string_view content) {
  const auto channel = mcap::read_channel(content);
  channels_.erase(channel.id);
  const auto schema = schemas_.find(channel.schema_id);
  if (schema != schemas_.end() && channel.message_encoding == "protobuf")
    channels_[channel.id] = schema->second;
}

std::optional<recording_stream> recording_channels::stream_of(uint16_t channel) const {
  const auto found = channels_.find(channel);
  return found == channels_.end() ? std::nullopt : std::optional(found->second);
}

} // namespace tessera
