#include "net/formats/recorded_input.hpp"

#include "net/base/bad_input.hpp"
#include "net/formats/protobuf_wire.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

using namespace tessera;

namespace {

std::string message(const auto& fill) {
  std::string out;
  protobuf::writer to(out);
  fill(to);
  return out;
}

const std::string some_pose(64, '\0');

/// A cloud of two points, with changes.
struct cloud {
  std::string id = "a", session, source = "shm", group, pose = some_pose;
  uint32_t stride = 16;
  std::vector<std::tuple<std::string, uint32_t, uint32_t>> fields{{"x", 0, 7},    {"y", 4, 7},      {"z", 8, 7},
                                                                  {"red", 12, 1}, {"green", 13, 1}, {"blue", 14, 1}};
  std::string data = std::string(32, '\1');
  [[nodiscard]] std::string bytes() const {
    const auto about = message([&](auto& to) {
      to.bytes(1, id);
      to.bytes(2, session);
      to.bytes(3, source);
      to.bytes(4, group);
      to.bytes(7, pose);
    });
    return message([&](auto& to) {
      to.fixed32(4, stride);
      for (const auto& [name, offset, type] : fields)
        to.bytes(5, message([&, name = name, offset = offset, type = type](auto& in) {
                   in.bytes(1, name);
                   in.fixed32(2, offset);
                   in.number(3, type);
                 }));
      to.bytes(6, data);
      to.bytes(keyframe_field, about);
    });
  }
};

std::string fault_of(const auto& read, const std::string& bytes) {
  try {
    (void)read(bytes);
  } catch (const bad_input& e) {
    return e.what();
  }
  return {};
}

std::string fault_of(const cloud& from) {
  return fault_of(read_keyframe, from.bytes());
}

} // namespace

TEST_CASE("A cloud is read by the names of its fields, wherever they are") {
  cloud from;
  from.stride = 30;
  from.fields = {{"blue", 0, 1}, {"z", 1, 7},      {"normal_x", 100, 8}, {"x", 9, 7},          {"y", 13, 7},
                 {"red", 20, 1}, {"green", 21, 1}, {"fourth", 22, 1},    {"confidence", 26, 7}};
  from.data.clear();
  for (int i = 0; i < 60; ++i)
    from.data += static_cast<char>(i);
  const auto frame = read_keyframe(from.bytes());
  REQUIRE(frame);
  CHECK(frame->body->size() == 2);
  CHECK(frame->body->channels() == 4);
  const auto float_at = [&](size_t at) {
    float out = 0;
    std::memcpy(&out, from.data.data() + at, sizeof out);
    return out;
  };
  CHECK(std::ranges::equal(frame->body->points(),
                           std::array{float_at(9), float_at(13), float_at(1), float_at(39), float_at(43), float_at(31)}));
  CHECK(std::ranges::equal(frame->body->colours(), std::array<uint8_t, 8>{20, 21, 0, 22, 50, 51, 30, 52}));
  CHECK(std::ranges::equal(frame->body->confidence(), std::array{float_at(26), float_at(56)}));
  CHECK(frame->source == "shm");
}

TEST_CASE("What is wrong with a cloud is told by field, value and bound") {
  CHECK(fault_of(cloud{}).empty());
  cloud from;
  SECTION("stride") {
    from.stride = 0;
    CHECK(fault_of(from) == "foxglove.PointCloud: point_stride is 0, must be 1 to 1024");
    from.stride = 4'000'000'000;
    CHECK(fault_of(from) == "foxglove.PointCloud: point_stride is 4000000000, must be 1 to 1024");
  }
  SECTION("offset") {
    std::get<1>(from.fields[2]) = 13;
    CHECK(fault_of(from) == "foxglove.PointCloud: offset of z is 13, which with its size is more than point_stride 16");
    std::get<1>(from.fields[2]) = 0xffffffff;
    CHECK_THAT(fault_of(from), Catch::Contains("offset of z is 4294967295"));
  }
  SECTION("type") {
    std::get<2>(from.fields[0]) = 8;
    CHECK(fault_of(from) == "foxglove.PackedElementField: type of x is 8, must be 7");
  }
  SECTION("fields") {
    from.fields.pop_back();
    CHECK(fault_of(from) == "foxglove.PointCloud: fields has no blue");
    from.fields.assign(65, {"other", 0, 1});
    CHECK(fault_of(from) == "foxglove.PointCloud: fields has more than 64");
  }
  SECTION("data") {
    from.data.pop_back();
    CHECK(fault_of(from) == "foxglove.PointCloud: data has 31 bytes, not a multiple of point_stride 16");
    from.stride = 1024;
    from.stride = 16;
    from.data.resize((size_t{1} << 22) * 16 + 16);
    CHECK(fault_of(from) == "foxglove.PointCloud: data has 4194305 points, must have at most 4194304");
  }
  SECTION("names") {
    from.id.clear();
    CHECK(fault_of(from) == "tessera.Keyframe: keyframe_id has 0 bytes, not 1 to 256");
    from.id = "a\nb";
    CHECK_THAT(fault_of(from), Catch::Contains("control character 10"));
    from.id = "a";
    from.session.assign(65, 'x');
    CHECK(fault_of(from) == "tessera.Keyframe: session has 65 bytes, not 0 to 64");
    from.session.clear();
    from.group = "\xff";
    CHECK(fault_of(from) == "tessera.Keyframe: group is not valid UTF-8");
    from.group.clear();
    from.source.assign(1000, 's');
    CHECK_THAT(fault_of(from), Catch::Contains("tessera.Keyframe: source is 's"));
  }
  SECTION("pose") {
    from.pose.pop_back();
    CHECK(fault_of(from) == "tessera.Keyframe: world_from_camera has 63 bytes, must have 64");
  }
}

TEST_CASE("A pose's scale is recorded to the bit, and viewers are told the rotation alone") {
  const auto c = std::cos(0.3f), s = std::sin(0.3f);
  const auto at = [&](float scale) {
    return pose{{c * scale, 0, s * scale, 1, 0, scale, 0, 2, -s * scale, 0, c * scale, 3, 0, 0, 0, 1}};
  };
  const auto recorded = [](const map_input& what) {
    std::string records;
    std::vector<std::string> messages;
    for (const auto& place : put_input(records, what, 1, 7)) {
      constexpr size_t header = 1 + 8, fields = 2 + 4 + 8 + 8; // opcode and length; channel, number, times
      uint64_t length = 0;
      std::memcpy(&length, records.data() + place.offset + 1, sizeof length);
      messages.push_back(records.substr(place.offset + header + fields, length - fields));
    }
    return messages;
  };
  auto body = std::make_shared<owned_keyframe_body>();
  body->point_data = {1, 2, 3};
  body->colour_data = {4, 5, 6};
  keyframe frame;
  frame.id.value = "a";
  frame.source = "shm";
  frame.body = body;
  frame.world_from_camera = at(1);
  const auto rigid = recorded(frame);
  frame.world_from_camera = at(1.4f);
  const auto scaled = recorded(frame);
  REQUIRE(scaled.size() == 2);
  CHECK(read_keyframe(scaled[0])->world_from_camera == at(1.4f));
  CHECK(read_move(recorded(revision{{"a"}, at(0.5f)}).at(0)).to == at(0.5f));
  const auto numbers_of = [](std::string_view camera) { // position and orientation
    std::vector<double> out;
    protobuf::reader from(camera, "camera");
    while (const auto part = from.next())
      if (part->number() == 3) {
        protobuf::reader in(part->bytes(), "pose");
        while (const auto vector = in.next())
          for (size_t number = 1; number + 8 <= vector->bytes().size(); number += 1 + 8) // each behind its tag
            std::memcpy(&out.emplace_back(), vector->bytes().data() + number, 8);
      }
    return out;
  };
  const auto want = numbers_of(rigid[1]), found = numbers_of(scaled[1]);
  REQUIRE(want.size() == 7);
  REQUIRE(found.size() == 7);
  for (size_t i = 0; i < want.size(); ++i)
    CHECK(found[i] == Approx(want[i]).margin(1e-6));
}

TEST_CASE("Revisions and retractions need what they are about") {
  const auto nobody = message([](auto& to) { to.bytes(3, some_pose); });
  const auto without_pose = message([](auto& to) { to.bytes(1, "a"); });
  CHECK_THAT(fault_of(read_move, nobody), Catch::Contains("keyframe_id has 0 bytes"));
  CHECK(fault_of(read_move, without_pose) == "tessera.Revision: world_from_camera is missing");
  const auto of_group = [](bool numbered, const std::string& group) {
    return message([&](auto& to) {
      to.bytes(3, some_pose);
      if (numbered)
        to.number(4, 7);
      to.bytes(5, group);
    });
  };
  CHECK(read_move(of_group(true, "upstairs")).group == "upstairs");
  CHECK(read_move(of_group(true, "upstairs")).number == 7u);
  CHECK_THAT(fault_of(read_move, of_group(false, "upstairs")), Catch::Contains("tessera.Revision: number is missing"));
  CHECK_THAT(fault_of(read_move, of_group(true, std::string(1000, 'g'))), Catch::Contains("group"));
  CHECK(fault_of(read_retraction, without_pose).empty());
  CHECK_THAT(fault_of(read_retraction, ""), Catch::Contains("tessera.Retraction: keyframe_id has 0 bytes"));
}

TEST_CASE("A message that is cut off or damaged is bad input, wherever it is") {
  const auto bytes = cloud{}.bytes();
  for (size_t length = 0; length < bytes.size(); ++length)
    try {
      const auto frame = read_keyframe(std::string_view(bytes).substr(0, length));
      CHECK_FALSE(frame); // its field comes last
    } catch (const bad_input& e) {
      CHECK(std::string(e.what()).size() > 20);
    }
  for (size_t i = 0; i < bytes.size(); ++i)
    for (const int bit : {0, 3, 7})
      try {
        auto damaged = bytes;
        damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
        (void)read_keyframe(damaged);
      } catch (const bad_input&) {
      }
}

TEST_CASE("The wire format's own bounds are kept") {
  const auto read_all = [](std::string_view bytes) {
    protobuf::reader from(bytes, "m");
    while (const auto next = from.next())
      (void)next->number();
    return 0;
  };
  CHECK_THAT(fault_of(read_all, std::string(11, '\xff')), Catch::Contains("a number has more than 10 bytes"));
  CHECK(fault_of(read_all, "\x0a\x05xyz") == "m: byte 2: a field has 5 bytes, of which 3 are there");
  CHECK_THAT(fault_of(read_all, "\x0b"), Catch::Contains("field 1 has wire type 3, must be 0, 1, 2 or 5"));
  CHECK_THAT(fault_of(read_all, std::string("\x02\x00", 2)), Catch::Contains("a field's number is 0"));
  CHECK_THAT(fault_of(read_all, "\x0d\x01"), Catch::Contains("a field has 4 bytes, of which 1 are there"));
}
