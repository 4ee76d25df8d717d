#include "net/formats/recorded_input.hpp"

#include "messages/names.hpp"
#include "net/base/bad_input.hpp"
#include "net/base/utf8.hpp"
#include "net/formats/protobuf_wire.hpp"
#include "net/formats/segment_header.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

namespace tessera {

namespace {

constexpr uint64_t ns_per_s = 1'000'000'000;
/// Of foxglove.PackedElementField.NumericType.
constexpr uint64_t uint8_type = 1, float32_type = 7;
static_assert(uint64_t{max_keyframe_points} * 20 < mcap::most_bytes, "what a map takes can be recorded");
constexpr uint32_t most_stride = 1024;
constexpr size_t most_fields = 64;

/// The values of a point that are read: where each begins in the point's bytes.
struct point_layout {
  struct element {
    std::string_view name;
    uint64_t type;
    bool needed;
    std::optional<uint32_t> at{};
    [[nodiscard]] uint32_t size() const { return type == float32_type ? 4 : 1; }
  };
  uint32_t stride = 0;
  std::array<element, 8> elements{{{"x", float32_type, true},
                                   {"y", float32_type, true},
                                   {"z", float32_type, true},
                                   {"red", uint8_type, true},
                                   {"green", uint8_type, true},
                                   {"blue", uint8_type, true},
                                   // A producer's fourth channel means nothing; called alpha it would make points vanish.
                                   {"fourth", uint8_type, false},
                                   {"confidence", float32_type, false}}};
  element& fourth() { return elements[6]; }
  element& confidence() { return elements[7]; }
};

/// How keyframes are written: 16 bytes a point, or 20 with confidence. Where three colours leave a byte, it is 0.
point_layout layout_of(const keyframe_body& body) {
  point_layout out;
  uint32_t at = 0;
  for (auto& one : out.elements) {
    if (&one == &out.fourth() && body.channels() == 3) {
      ++at;
      continue;
    }
    if (&one == &out.confidence() && body.confidence().empty())
      continue;
    one.at = at;
    at += one.size();
  }
  out.stride = at;
  return out;
}

std::string message(const auto& fill) {
  std::string out;
  protobuf::writer to(out);
  fill(to);
  return out;
}

std::string timestamp(uint64_t ns) {
  return message([&](auto& to) {
    to.number(1, ns / ns_per_s);
    to.number(2, ns % ns_per_s);
  });
}

std::string_view bytes_of(const pose& at) {
  return {reinterpret_cast<const char*>(at.m.data()), sizeof at.m};
}

struct quaternion {
  double x = 0, y = 0, z = 0, w = 1;
};

/// Of the rotation, without the scale, nearly: for viewers. Shepperd, Quaternion from rotation matrix, 1978: the largest
/// component first.
quaternion rotation_of(const pose& at) {
  const auto scale = std::sqrt(squared_scale(at));
  const auto m = [&](int r, int c) { return static_cast<double>(at.m[static_cast<size_t>(4 * r + c)]) / scale; };
  const auto trace = m(0, 0) + m(1, 1) + m(2, 2);
  std::array<double, 4> q{}; // x y z w
  int i = 0;
  for (int k = 1; k < 3; ++k)
    if (m(k, k) > m(i, i))
      i = k;
  if (trace > m(i, i)) {
    q = {m(2, 1) - m(1, 2), m(0, 2) - m(2, 0), m(1, 0) - m(0, 1), 1 + trace};
  } else {
    const int j = (i + 1) % 3, k = (i + 2) % 3;
    q[static_cast<size_t>(i)] = 1 + m(i, i) - m(j, j) - m(k, k);
    q[static_cast<size_t>(j)] = m(j, i) + m(i, j);
    q[static_cast<size_t>(k)] = m(k, i) + m(i, k);
    q[3] = m(k, j) - m(j, k);
  }
  const auto norm = std::sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]);
  if (!(norm > 0))
    return {};
  return {q[0] / norm, q[1] / norm, q[2] / norm, q[3] / norm};
}

std::string pose_message(const pose& at) {
  const auto position = message([&](auto& to) {
    for (uint32_t i = 0; i < 3; ++i)
      to.real(i + 1, static_cast<double>(at.m[4 * i + 3]));
  });
  const auto orientation = message([&](auto& to) {
    const auto q = rotation_of(at);
    to.real(1, q.x);
    to.real(2, q.y);
    to.real(3, q.z);
    to.real(4, q.w);
  });
  return message([&](auto& to) {
    to.bytes(1, position);
    to.bytes(2, orientation);
  });
}

constexpr std::string_view world = "world";

void put_camera(std::string& out, const keyframe& frame) {
  protobuf::writer to(out);
  to.bytes(1, timestamp(frame.timestamp_ns));
  to.bytes(2, world);
  to.bytes(3, pose_message(frame.world_from_camera));
}

std::string keyframe_message(const keyframe& frame) {
  return message([&](auto& to) {
    to.bytes(1, frame.id.value);
    to.bytes(2, frame.id.session);
    to.bytes(3, frame.source);
    to.bytes(4, frame.group);
    to.number(5, frame.timestamp_ns);
    to.number(6, frame.received_ns);
    to.bytes(7, bytes_of(frame.world_from_camera));
  });
}

/// Copies one value of every point from or to an array of values that lie `step` bytes apart.
void copy_each(char* to, size_t to_step, const char* from, size_t from_step, size_t size, size_t count) {
  if (size == 4)
    for (size_t i = 0; i < count; ++i)
      std::memcpy(to + i * to_step, from + i * from_step, 4);
  else
    for (size_t i = 0; i < count; ++i)
      to[i * to_step] = from[i * from_step];
}

void put_points(char* to, const keyframe_body& body, const point_layout& layout) {
  if (body.size() == 0) // its arrays may be nowhere
    return;
  const auto* points = reinterpret_cast<const char*>(body.points().data());
  const auto* colours = reinterpret_cast<const char*>(body.colours().data());
  for (size_t i = 0; i < layout.elements.size(); ++i) {
    const auto& one = layout.elements[i];
    if (!one.at)
      continue;
    if (i < 3)
      copy_each(to + *one.at, layout.stride, points + 4 * i, 12, 4, body.size());
    else if (i < 7)
      copy_each(to + *one.at, layout.stride, colours + (i - 3), body.channels(), 1, body.size());
    else
      copy_each(to + *one.at, layout.stride, reinterpret_cast<const char*>(body.confidence().data()), 4, 4, body.size());
  }
}

void put_cloud(std::string& out, const keyframe& frame) {
  auto layout = layout_of(*frame.body);
  protobuf::writer to(out);
  to.bytes(1, timestamp(frame.timestamp_ns));
  to.bytes(2, world);
  to.bytes(3, pose_message({}));
  to.fixed32(4, layout.stride);
  for (const auto& one : layout.elements)
    if (one.at)
      to.bytes(5, message([&](auto& in) {
                 in.bytes(1, one.name);
                 in.fixed32(2, *one.at);
                 in.number(3, one.type);
               }));
  to.bytes(keyframe_field, keyframe_message(frame));
  const auto size = frame.body->size() * layout.stride;
  to.begin_bytes(6, size);
  out.resize(out.size() + size);
  put_points(out.data() + out.size() - size, *frame.body, layout);
}

/// The same that keyframe_check demands of arrays, so that they can be written at all.
void check_arrays(const keyframe& frame) {
  const auto fail = [](const std::string& why) { throw bad_input(why); };
  if (!frame.body)
    fail("the keyframe has no points");
  const auto& body = *frame.body;
  const auto count = body.size();
  if (body.channels() != 3 && body.channels() != 4)
    fail("channels is " + std::to_string(body.channels()) + ", must be 3 or 4");
  if (body.colours().size() != count * body.channels())
    fail("colours has " + std::to_string(body.colours().size()) + " bytes, must have " + std::to_string(count * body.channels()));
  if (!body.confidence().empty() && body.confidence().size() != count)
    fail("confidence has " + std::to_string(body.confidence().size()) + " values, must have " + std::to_string(count));
  if (count > max_keyframe_points)
    fail("points has " + std::to_string(count) + " points, must have at most " + std::to_string(max_keyframe_points));
}

std::string name_message(const keyframe_id& id) {
  return message([&](auto& to) {
    to.bytes(1, id.value);
    to.bytes(2, id.session);
  });
}

std::string move_message(const correction_entry& what) {
  return message([&](auto& to) {
    if (what.group.empty())
      to.bytes(1, what.id.value), to.bytes(2, what.id.session);
    to.bytes(3, bytes_of(what.to));
    if (what.number) // also if it is 0, where Protocol Buffers would leave it out: there may be none
      to.number(4, *what.number);
    if (!what.group.empty())
      to.bytes(5, what.group);
  });
}

void put_definition(std::string& records, recording_stream what) {
  put_schema(records, what);
  put_channel(records, what);
}

// Reading.

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

void put_schema(std::string& records, recording_stream what) {
  mcap::record_writer(records, mcap::opcode::schema)
    .u16(static_cast<uint16_t>(what))
    .text(schema_name_of(what))
    .text("protobuf")
    .text(descriptors_of(what));
}

void put_channel(std::string& records, recording_stream what) {
  const auto id = static_cast<uint16_t>(what);
  const std::string_view no_metadata;
  mcap::record_writer(records, mcap::opcode::channel).u16(id).u16(id).text(topic_of(what)).text("protobuf").text(no_metadata);
}

std::vector<message_place> put_input(std::string& records, const map_input& what, uint32_t number, uint64_t log_ns) {
  std::vector<message_place> places;
  const auto put = [&](recording_stream stream, uint64_t publish_ns, const auto& fill) {
    places.push_back({stream, records.size()});
    mcap::record_writer record(records, mcap::opcode::message);
    record.u16(static_cast<uint16_t>(stream)).u32(number).u64(log_ns).u64(publish_ns);
    fill(records);
  };
  if (const auto* frame = std::get_if<keyframe>(&what)) {
    check_arrays(*frame);
    put_definition(records, recording_stream::keyframes);
    put_definition(records, recording_stream::cameras);
    put(recording_stream::keyframes, frame->timestamp_ns, [&](auto& out) { put_cloud(out, *frame); });
    put(recording_stream::cameras, frame->timestamp_ns, [&](auto& out) { put_camera(out, *frame); });
  } else if (const auto* moves = std::get_if<revision>(&what)) {
    return put_move(records, {moves->id, {}, moves->world_from_camera, moves->number}, number, log_ns);
  } else {
    put_definition(records, recording_stream::retractions);
    put(recording_stream::retractions, log_ns, [&](auto& out) { out += name_message(id_of(what)); });
  }
  return places;
}

std::vector<message_place> put_move(std::string& records, const correction_entry& what, uint32_t number, uint64_t log_ns) {
  constexpr auto stream = recording_stream::revisions;
  put_definition(records, stream);
  const message_place place{stream, records.size()};
  mcap::record_writer record(records, mcap::opcode::message);
  record.u16(static_cast<uint16_t>(stream)).u32(number).u64(log_ns).u64(log_ns);
  records += move_message(what);
  return {place};
}

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
