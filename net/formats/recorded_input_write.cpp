#include "net/base/bad_input.hpp"
#include "net/formats/protobuf_wire.hpp"
#include "net/formats/recorded_input.hpp"
#include "net/formats/recorded_points.hpp"
#include "net/formats/segment_header.hpp"

#include <array>
#include <cmath>

namespace tessera {

namespace {

constexpr uint64_t ns_per_s = 1'000'000'000;
static_assert(uint64_t{max_keyframe_points} * 20 < mcap::most_bytes, "what a map takes can be recorded");

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

} // namespace tessera
