#include "net/formats/recording_schemas.hpp"

#include "net/formats/protobuf_wire.hpp"

#include <set>
#include <span>
#include <vector>

namespace tessera {

namespace {

/// Types of fields: google.protobuf.FieldDescriptorProto.Type (descriptor.proto).
enum class type : uint8_t {
  real = 1,
  single = 2,
  int64 = 3,
  uint64 = 4,
  int32 = 5,
  fixed32 = 7,
  text = 9,
  message = 11,
  bytes = 12,
  enumeration = 14
};

struct member {
  std::string_view name;
  uint32_t number;
  type kind;
  std::string_view of = {}; ///< the full name of a message or an enum
  bool repeated = false;
};

/// A message in a file of its own, in the order in which files need each other.
struct definition {
  std::string_view file, package, name;
  std::vector<member> members;
  /// An enum inside the message, whose values count from 0.
  std::string_view enumeration = {};
  std::vector<std::string_view> values{};
};

constexpr std::string_view keyframe_file = "tessera/Keyframe.proto";

// Those of foxglove are github.com/foxglove/foxglove-sdk, schemas/proto/foxglove, without the fields from 100 on, which we do not
// write.
const std::vector<definition> definitions{
  {"google/protobuf/timestamp.proto", "google.protobuf", "Timestamp", {{"seconds", 1, type::int64}, {"nanos", 2, type::int32}}},
  {"foxglove/Vector3.proto", "foxglove", "Vector3", {{"x", 1, type::real}, {"y", 2, type::real}, {"z", 3, type::real}}},
  {"foxglove/Quaternion.proto",
   "foxglove",
   "Quaternion",
   {{"x", 1, type::real}, {"y", 2, type::real}, {"z", 3, type::real}, {"w", 4, type::real}}},
  {"foxglove/Pose.proto",
   "foxglove",
   "Pose",
   {{"position", 1, type::message, ".foxglove.Vector3"}, {"orientation", 2, type::message, ".foxglove.Quaternion"}}},
  {"foxglove/PackedElementField.proto",
   "foxglove",
   "PackedElementField",
   {{"name", 1, type::text},
    {"offset", 2, type::fixed32},
    {"type", 3, type::enumeration, ".foxglove.PackedElementField.NumericType"}},
   "NumericType",
   {"UNKNOWN", "UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "FLOAT32", "FLOAT64"}},
  {keyframe_file,
   "tessera",
   "Keyframe",
   {{"id", 1, type::text},
    {"session", 2, type::text},
    {"source", 3, type::text},
    {"group", 4, type::text},
    {"timestamp_ns", 5, type::uint64},
    {"received_ns", 6, type::uint64},
    {"world_from_camera", 7, type::single, {}, true}}},
  {"foxglove/PointCloud.proto",
   "foxglove",
   "PointCloud",
   {{"timestamp", 1, type::message, ".google.protobuf.Timestamp"},
    {"frame_id", 2, type::text},
    {"pose", 3, type::message, ".foxglove.Pose"},
    {"point_stride", 4, type::fixed32},
    {"fields", 5, type::message, ".foxglove.PackedElementField", true},
    {"data", 6, type::bytes},
    {"keyframe", keyframe_field, type::message, ".tessera.Keyframe"}}},
  {"foxglove/PoseInFrame.proto",
   "foxglove",
   "PoseInFrame",
   {{"timestamp", 1, type::message, ".google.protobuf.Timestamp"},
    {"frame_id", 2, type::text},
    {"pose", 3, type::message, ".foxglove.Pose"}}},
  {"tessera/Revision.proto",
   "tessera",
   "Revision",
   {{"id", 1, type::text},
    {"session", 2, type::text},
    {"world_from_camera", 3, type::single, {}, true},
    {"number", 4, type::uint64},
    {"group", 5, type::text}}},
  {"tessera/Retraction.proto", "tessera", "Retraction", {{"id", 1, type::text}, {"session", 2, type::text}}},
};

std::string full_name(const definition& of) {
  return std::string(of.package) + '.' + std::string(of.name);
}

/// The definitions that a message's members need, itself included.
void add_needed(const definition& of, std::set<const definition*>& all) {
  all.insert(&of);
  for (const auto& m : of.members)
    for (const auto& other : definitions)
      if (m.of == '.' + full_name(other))
        add_needed(other, all);
}

std::string field_descriptor(const member& m) {
  constexpr uint64_t optional = 1, repeated = 3; // FieldDescriptorProto.Label
  std::string out;
  protobuf::writer to(out);
  to.bytes(1, m.name);
  to.number(3, m.number);
  to.number(4, m.repeated ? repeated : optional);
  to.number(5, static_cast<uint64_t>(m.kind));
  if (!m.of.empty())
    to.bytes(6, m.of);
  return out;
}

std::string enum_descriptor(const definition& of) {
  std::string out;
  protobuf::writer to(out);
  to.bytes(1, of.enumeration);
  for (size_t i = 0; i < of.values.size(); ++i) {
    std::string value;
    protobuf::writer in(value);
    in.bytes(1, of.values[i]);
    in.number(2, i);
    to.bytes(2, value);
  }
  return out;
}

std::string message_descriptor(const definition& of) {
  std::string out;
  protobuf::writer to(out);
  to.bytes(1, of.name);
  for (const auto& m : of.members)
    to.bytes(2, field_descriptor(m));
  if (!of.enumeration.empty())
    to.bytes(4, enum_descriptor(of));
  return out;
}

std::string file_descriptor(const definition& of) {
  std::string out;
  protobuf::writer to(out);
  to.bytes(1, of.file);
  to.bytes(2, of.package);
  for (const auto& other : definitions)
    for (const auto& m : of.members)
      if (m.of == '.' + full_name(other)) {
        to.bytes(3, other.file);
        break;
      }
  to.bytes(4, message_descriptor(of));
  to.bytes(12, "proto3");
  return out;
}

} // namespace

std::string_view topic_of(recording_stream what) {
  switch (what) {
  case recording_stream::keyframes:
    return "/tessera/keyframes";
  case recording_stream::cameras:
    return "/tessera/cameras";
  case recording_stream::revisions:
    return "/tessera/revisions";
  case recording_stream::retractions:
    return "/tessera/retractions";
  }
  return {};
}

std::string_view schema_name_of(recording_stream what) {
  switch (what) {
  case recording_stream::keyframes:
    return "foxglove.PointCloud";
  case recording_stream::cameras:
    return "foxglove.PoseInFrame";
  case recording_stream::revisions:
    return "tessera.Revision";
  case recording_stream::retractions:
    return "tessera.Retraction";
  }
  return {};
}

std::string descriptors_of(recording_stream what) {
  std::set<const definition*> needed;
  for (const auto& one : definitions)
    if (full_name(one) == schema_name_of(what))
      add_needed(one, needed);
  std::string out;
  protobuf::writer to(out);
  for (const auto* one : needed) // in the table's order, since the set is in that of addresses
    to.bytes(1, file_descriptor(*one));
  return out;
}

bool has_keyframes(std::string_view descriptors) {
  return descriptors.find(keyframe_file) != std::string_view::npos;
}

} // namespace tessera
