#include "net/clients/cpp/producer.hpp"

#include "net/formats/notification.hpp"
#include "net/formats/segment_header.hpp"
#include "net/sources/shm/segment_name.hpp"
#include "net/sources/shm/shm_segment.hpp"

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include <sys/mount.h>

#include <filesystem>
#include <fstream>
#include <iterator>

namespace fs = std::filesystem;
namespace producer = tessera::producer;

namespace {

/// A field of a header, as docs/protocol.md lists them.
struct field {
  const char* name;
  char type; // Q u64, I u32, f f32
  size_t count;
  size_t offset;
};

constexpr field short_header[] = {
  {"timestamp_ns", 'Q', 1, 0}, {"point_count", 'I', 1, 8}, {"channels", 'I', 1, 12}, {"pose", 'f', 16, 16}, {"bbox", 'f', 6, 80},
};
constexpr field long_header[] = {
  {"timestamp_ns", 'Q', 1, 0},    {"point_count", 'I', 1, 8}, {"channels", 'I', 1, 12},
  {"has_confidence", 'I', 1, 16}, {"pose", 'f', 16, 20},      {"bbox", 'f', 6, 84},
};

uint64_t little_endian(const std::string& bytes, size_t at, size_t size) {
  uint64_t value = 0;
  for (size_t i = size; i-- > 0;)
    value = value << 8 | static_cast<uint8_t>(bytes.at(at + i));
  return value;
}

float float_at(const std::string& bytes, size_t at) {
  auto bits = static_cast<uint32_t>(little_endian(bytes, at, 4));
  float value = 0;
  std::memcpy(&value, &bits, 4);
  return value;
}

template <size_t N>
nlohmann::json decode(const std::string& bytes, const field (&fields)[N]) {
  nlohmann::json out;
  for (const auto& each : fields) {
    size_t size = each.type == 'Q' ? 8 : 4;
    auto values = nlohmann::json::array();
    for (size_t i = 0; i < each.count; ++i) {
      if (each.type == 'f')
        values.push_back(float_at(bytes, each.offset + 4 * i));
      else
        values.push_back(little_endian(bytes, each.offset + size * i, size));
    }
    out[each.name] = each.count == 1 ? values[0] : values;
  }
  return out;
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// An empty folder that stands in for shared memory, or a real prefix of its own.
struct place {
  fs::path folder;
  place() {
    auto name = std::string("tessera_producer_test_XXXXXX");
    auto text = (fs::temp_directory_path() / name).string();
    REQUIRE(::mkdtemp(text.data()) != nullptr);
    folder = text;
  }
  ~place() { fs::remove_all(folder); }
  [[nodiscard]] producer::segment_options options() const {
    producer::segment_options out;
    out.folder = folder.string();
    return out;
  }
  [[nodiscard]] std::vector<std::string> files() const {
    std::vector<std::string> out;
    for (const auto& each : fs::directory_iterator(folder))
      out.push_back(each.path().filename());
    std::sort(out.begin(), out.end());
    return out;
  }
};

struct sample {
  std::vector<float> points;
  std::vector<uint8_t> colours;
  std::vector<float> confidence;
  producer::keyframe frame;

  explicit sample(size_t count, uint32_t channels = 3) {
    for (size_t i = 0; i < 3 * count; ++i)
      points.push_back(static_cast<float>(i) * 0.25f - 3);
    for (size_t i = 0; i < channels * count; ++i)
      colours.push_back(static_cast<uint8_t>(i * 7));
    for (size_t i = 0; i < count; ++i)
      confidence.push_back(static_cast<float>(i) / 2);
    frame.id = "357";
    frame.session.clear();
    frame.pose = {0, -1, 0, 1.5f, 1, 0, 0, -2, 0, 0, 1, 3, 0, 0, 0, 1};
    frame.points = points.data();
    frame.colours = colours.data();
    frame.count = count;
    frame.channels = channels;
    frame.timestamp_ns = 0x0102030405060708u;
  }
  [[nodiscard]] std::string arrays(bool with_confidence) const {
    std::string out(reinterpret_cast<const char*>(points.data()), points.size() * 4);
    out.append(reinterpret_cast<const char*>(colours.data()), colours.size());
    if (with_confidence)
      out.append(reinterpret_cast<const char*>(confidence.data()), confidence.size() * 4);
    return out;
  }
};

} // namespace

TEST_CASE("a segment has the short header byte for byte", "[producer]") {
  place here;
  sample s(5);
  producer::segment_writer writer(here.options());
  auto key = writer.write(s.frame);
  CHECK(key == "/slam3r_keyframe_357");
  auto bytes = read(here.folder.string() + key);
  REQUIRE(bytes.size() == 104 + 5 * 15);
  auto header = decode(bytes, short_header);
  CHECK(header["timestamp_ns"] == s.frame.timestamp_ns);
  CHECK(header["point_count"] == 5);
  CHECK(header["channels"] == 3);
  CHECK(header["pose"] == nlohmann::json(s.frame.pose));
  CHECK(header["bbox"] == nlohmann::json({-3.f, -2.75f, -2.5f, 0.f, 0.25f, 0.5f}));
  CHECK(bytes.substr(104) == s.arrays(false));
  CHECK(here.files() == std::vector<std::string>{"slam3r_keyframe_357"});
}

TEST_CASE("a segment with confidence has the long header byte for byte", "[producer]") {
  place here;
  sample s(7, 4);
  s.frame.confidence = s.confidence.data();
  s.frame.bbox = std::array<float, 6>{};
  producer::segment_writer writer(here.options());
  auto bytes = read(here.folder.string() + writer.write(s.frame));
  REQUIRE(bytes.size() == 108 + 7 * 20);
  auto header = decode(bytes, long_header);
  CHECK(header["point_count"] == 7);
  CHECK(header["channels"] == 4);
  CHECK(header["has_confidence"] == 1);
  CHECK(header["pose"] == nlohmann::json(s.frame.pose));
  CHECK(header["bbox"] == nlohmann::json({0.f, 0.f, 0.f, 0.f, 0.f, 0.f}));
  CHECK(bytes.substr(108) == s.arrays(true));
}

TEST_CASE("a message body has the long header without confidence", "[producer]") {
  sample s(3);
  auto bytes = producer::message_body(s.frame);
  auto header = decode(bytes, long_header);
  CHECK(header["has_confidence"] == 0);
  CHECK(bytes.substr(108) == s.arrays(false));
}

TEST_CASE("the service reads what the producer wrote", "[producer]") {
  sample s(1000);
  s.frame.confidence = s.confidence.data();
  producer::segment_options options;
  options.prefix = "/tessera_producer_test_" + std::to_string(::getpid()) + "_";
  producer::segment_writer writer(options);
  auto key = writer.write(s.frame);
  {
    tessera::shm_segment segment(key);
    CHECK(segment.header().timestamp_ns == s.frame.timestamp_ns);
    CHECK(std::equal(segment.points().begin(), segment.points().end(), s.points.begin(), s.points.end()));
    CHECK(std::equal(segment.colours().begin(), segment.colours().end(), s.colours.begin(), s.colours.end()));
    CHECK(std::equal(segment.confidence().begin(), segment.confidence().end(), s.confidence.begin(), s.confidence.end()));
    CHECK(tessera::pose_of(segment.header().pose_matrix, tessera::pose_layout::automatic).m == s.frame.pose);
    CHECK(segment.torn().empty());
  }
  CHECK(writer.discard(key));
  CHECK_FALSE(fs::exists("/dev/shm" + key));
}

TEST_CASE("a notification is the map that the protocol says", "[producer]") {
  sample s(5);
  s.frame.id = std::string(200, 'x');
  producer::layout bytes(s.frame);
  auto note = producer::new_keyframe(s.frame, "/slam3r_keyframe_" + s.frame.id, bytes);
  auto said = nlohmann::json::from_msgpack(note);
  CHECK(said.size() == 7);
  CHECK(said["type"] == "keyframe.new");
  CHECK(said["keyframe_id"] == s.frame.id);
  CHECK(said["timestamp_ns"] == s.frame.timestamp_ns);
  CHECK(said["pose_matrix"]
        == nlohmann::json({{0.f, -1.f, 0.f, 1.5f}, {1.f, 0.f, 0.f, -2.f}, {0.f, 0.f, 1.f, 3.f}, {0.f, 0.f, 0.f, 1.f}}));
  CHECK(said["shm_key"] == "/slam3r_keyframe_" + s.frame.id);
  CHECK(said["point_count"] == 5);
  CHECK(said["bbox"] == nlohmann::json({-3.f, -2.75f, -2.5f, 0.f, 0.25f, 0.5f}));
  CHECK(note == producer::new_keyframe(s.frame, "/slam3r_keyframe_" + s.frame.id));
}

TEST_CASE("the service reads the producer's notifications", "[producer]") {
  sample s(5);
  auto parse = [](const std::string& text) { return tessera::parse_notification(std::as_bytes(std::span(text)), ""); };
  auto fresh = parse(producer::new_keyframe(s.frame, "/slam3r_keyframe_357"));
  CHECK(fresh.what == tessera::notification::type::fresh);
  CHECK(fresh.id.value == "357");
  CHECK(fresh.shm_key == "/slam3r_keyframe_357");
  CHECK(fresh.point_count == 5u);
  CHECK(fresh.world_from_camera.value().m == s.frame.pose);
  auto revise = parse(producer::revise_keyframe("357", s.frame.pose, 9, ""));
  CHECK(revise.what == tessera::notification::type::revise);
  CHECK(revise.world_from_camera.value().m == s.frame.pose);
  CHECK(revise.timestamp_ns == 9u);
  CHECK_FALSE(revise.revision);
  CHECK(parse(producer::revise_keyframe("357", s.frame.pose, 9, "", 12)).revision == 12u);
  CHECK(parse(producer::retract_keyframe("357", 0, "")).what == tessera::notification::type::retract);
}

TEST_CASE("the service reads what a producer says of many keyframes", "[producer]") {
  const sample s(5);
  const auto parse = [](const std::string& text) { return tessera::parse_notification(std::as_bytes(std::span(text)), ""); };
  std::vector<producer::keyframe_pose> poses;
  for (int i = 0; i < 1000; ++i)
    poses.push_back({"kf" + std::to_string(i), s.frame.pose});
  const auto many = parse(producer::revise_keyframes(poses, 7, "monday")).many.value();
  REQUIRE(many.entries.size() == 1000);
  CHECK(many.entries[999].id == tessera::keyframe_id{"kf999", "monday"});
  CHECK(many.entries[999].to.m == s.frame.pose);
  CHECK(many.entries[999].number == 7u);
  CHECK_FALSE(parse(producer::revise_keyframes(poses)).many->entries[0].number);
  const auto group = parse(producer::move_group("upstairs", s.frame.pose, 9)).many.value();
  REQUIRE(group.entries.size() == 1);
  CHECK(group.entries[0].group == "upstairs");
  CHECK(group.entries[0].id == tessera::keyframe_id{});
  CHECK(group.entries[0].to.m == s.frame.pose);
  CHECK(group.entries[0].number == 9u);
  CHECK(parse(producer::move_group("upstairs", s.frame.pose)).many->entries[0].number > 1u << 30);
  poses[3].pose[5] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(producer::revise_keyframes(poses), Catch::StartsWith("poses[3]: pose[5] is"));
  CHECK_THROWS_AS(producer::revise_keyframes({}), std::invalid_argument);
  CHECK_THROWS_AS(producer::move_group("", s.frame.pose), std::invalid_argument);
}

TEST_CASE("bounds pass over points that are not finite", "[producer]") {
  std::vector<float> points;
  for (size_t count : {1u, 7u, 8u, 9u, 100u, 1003u}) {
    points.clear();
    for (size_t i = 0; i < 3 * count; ++i)
      points.push_back(std::sin(static_cast<float>(i * i)));
    std::array<float, 6> wanted{9, 9, 9, -9, -9, -9};
    for (size_t i = 0; i < 3 * count; ++i) {
      wanted[i % 3] = std::min(wanted[i % 3], points[i]);
      wanted[3 + i % 3] = std::max(wanted[3 + i % 3], points[i]);
    }
    CHECK(producer::bounds(points.data(), count) == wanted);
  }
  auto nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  points = {1, 2, 3, nan, 100, 100, 4, -inf, 100, 5, 6, 7, 100, 100, inf};
  CHECK(producer::bounds(points.data(), 5) == std::array<float, 6>{1, 2, 3, 5, 6, 7});
  points = {nan, 1, 1};
  CHECK(producer::bounds(points.data(), 1) == std::array<float, 6>{});
}

TEST_CASE("a keyframe that would be refused is named and leaves nothing", "[producer]") {
  place here;
  producer::segment_writer writer(here.options());
  sample s(5);
  auto& f = s.frame;
  std::string wanted;
  SECTION("no points") {
    f.count = 0, wanted = "count is 0, and must be 1 to 4194304";
  }
  SECTION("too many points") {
    f.count = (size_t{1} << 22) + 1, wanted = "count is 4194305";
  }
  SECTION("no colours") {
    f.colours = nullptr, wanted = "colours is null";
  }
  SECTION("two channels") {
    f.channels = 2, wanted = "channels is 2, and must be 3 or 4";
  }
  SECTION("a pose that is not finite") {
    f.pose[3] = NAN, wanted = "pose[3] is nan, and must be finite";
  }
  SECTION("a last row beyond the tolerance") {
    f.pose[12] = 0.0011f, wanted = "last row is 0.0011";
  }
  SECTION("a transposed pose") {
    f.pose = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 5, 6, 7, 1}, wanted = "last row is 5.0";
  }
  SECTION("a pose of zeros") {
    f.pose = {}, wanted = "must be 0 0 0 1";
  }
  SECTION("an empty id") {
    f.id.clear(), wanted = "keyframe id has 0 bytes";
  }
  SECTION("an id that leaves the folder") {
    f.id = "../x", wanted = "neither '/' nor";
  }
  SECTION("a long id") {
    f.id.assign(250, 'x'), wanted = "bytes together";
  }
  SECTION("a session that leaves the folder") {
    f.session = "a/b", wanted = "neither '/' nor '~'";
  }
  SECTION("a session that ends early in the name") {
    f.session = "a~b", wanted = "neither '/' nor '~'";
  }
  SECTION("a long session") {
    f.session.assign(65, 'x'), wanted = "session has 65 bytes, and must have 0 to 64";
  }
  SECTION("a group with a line break") {
    f.group = "a\n", wanted = "group holds the control character 10";
  }
  SECTION("a session and an id that are too long together") {
    f.session.assign(64, 'x'), f.id.assign(180, 'x'),
      wanted = "prefix, session and keyframe id have 262 bytes together, and may have 255";
  }
  SECTION("a box that is not finite") {
    f.bbox = std::array<float, 6>{NAN}, wanted = "bbox holds nan";
  }
  CHECK_THROWS_WITH(writer.write(f), Catch::Contains(wanted));
  CHECK(here.files().empty());
}

TEST_CASE("a name used again is replaced as a whole", "[producer]") {
  place here;
  producer::segment_writer writer(here.options());
  sample s(5), t(9);
  auto path = here.folder.string() + writer.write(s.frame);
  std::ifstream old(path, std::ios::binary);
  writer.write(t.frame);
  CHECK(std::string(std::istreambuf_iterator<char>(old), {}).size() == 104 + 5 * 15);
  CHECK(read(path).size() == 104 + 9 * 15);
  CHECK(writer.pending_bytes() == 104 + 9 * 15);
}

TEST_CASE("what lies there unread is bounded", "[producer]") {
  place here;
  sample s(5);
  auto options = here.options();
  options.max_pending_bytes = 3 * (104 + 5 * 15);
  auto write = [&](producer::segment_writer& writer, const char* id) { return s.frame.id = id, writer.write(s.frame); };
  SECTION("by an error") {
    producer::segment_writer writer(options);
    write(writer, "a"), write(writer, "b"), write(writer, "c");
    CHECK_THROWS_AS(write(writer, "d"), producer::backlog_error);
    CHECK(here.files().size() == 3);
    fs::remove(here.folder / "slam3r_keyframe_b");
    write(writer, "d");
    CHECK(here.files().size() == 3);
  }
  SECTION("or by dropping the oldest") {
    options.drop_oldest = true;
    producer::segment_writer writer(options);
    for (const char* id : {"a", "b", "c", "d", "e"})
      write(writer, id);
    CHECK(here.files() == std::vector<std::string>{"slam3r_keyframe_c", "slam3r_keyframe_d", "slam3r_keyframe_e"});
    CHECK(writer.dropped() == 2);
  }
}

TEST_CASE("each run of a program is a session, and its keyframes say so", "[producer]") {
  const auto& session = producer::run_session();
  CHECK(session.size() == 22);
  CHECK(session.find_first_not_of("0123456789abcdef-") == std::string::npos);
  producer::keyframe plain;
  CHECK(plain.session == session);
  place here;
  sample s(5);
  s.frame.session = session;
  s.frame.group = "floor 2";
  producer::segment_writer writer(here.options());
  auto key = writer.write(s.frame);
  CHECK(key == "/slam3r_keyframe_~" + session + "~357");
  CHECK(key == writer.key_of("357"));
  CHECK(tessera::id_of_segment(key, "/slam3r_keyframe_") == tessera::keyframe_id{"357", session});
  auto said = nlohmann::json::from_msgpack(producer::new_keyframe(s.frame, key));
  CHECK(said.size() == 9);
  CHECK(said["session"] == session);
  CHECK(said["group"] == "floor 2");
  CHECK(said["shm_key"] == key);
  CHECK(nlohmann::json::from_msgpack(producer::revise_keyframe("357", s.frame.pose))["session"] == session);
  CHECK(nlohmann::json::from_msgpack(producer::retract_keyframe("357"))["session"] == session);
  CHECK(nlohmann::json::from_msgpack(producer::retract_keyframe("357", 0, "")).size() == 3);
}

TEST_CASE("a small folder drops the oldest, and never in vain", "[producer]") {
  place here;
  if (::mount("tmpfs", here.folder.c_str(), "tmpfs", 0, "size=1m") != 0)
    return; // this user may not
  auto options = here.options();
  {
    sample s(16'000); // 240 KB: four fit
    auto write = [&](producer::segment_writer& writer, const char* id) { return s.frame.id = id, writer.write(s.frame); };
    producer::segment_writer careful(options);
    write(careful, "kept");
    options.drop_oldest = true;
    producer::segment_writer writer(options);
    for (const char* id : {"a", "b", "c", "d", "e"})
      write(writer, id);
    CHECK(here.files()
          == std::vector<std::string>{"slam3r_keyframe_c", "slam3r_keyframe_d", "slam3r_keyframe_e", "slam3r_keyframe_kept"});
    CHECK(writer.dropped() == 2);
    fs::remove(here.folder / "slam3r_keyframe_kept");
    std::ofstream(here.folder / ".tessera-writing-left") << std::string(200'000, 'x');
    write(careful, "kept"); // in the room of what a killed producer left
    CHECK(writer.dropped() == 2);
    sample never(100'000);
    CHECK_THROWS_WITH(writer.write(never.frame),
                      Catch::Contains("needs 1500104 bytes") && Catch::Contains("of 1048576 are free"));
    CHECK(here.files().size() == 4);
    CHECK_THROWS_WITH(write(careful, "more"), Catch::Contains("cannot write the segment"));
    CHECK(here.files().size() == 4);
  }
  ::umount(here.folder.c_str());
}

TEST_CASE("what a killed producer left half written is removed, and nothing that is being written", "[producer]") {
  place here;
  auto path = [&](const char* name) { return here.folder.string() + "/.tessera-writing-" + name; };
  int writer = ::open(path("held").c_str(), O_CREAT | O_WRONLY, 0600);
  REQUIRE(::write(writer, "ha", 2) == 2);
  std::ofstream(path("left")) << "half";
  std::ofstream(path("made")); // a moment ago, perhaps by somebody whom the kernel does not count as a writer yet
  std::ofstream(here.folder / "other") << "whole";
  CHECK(producer::remove_abandoned(here.folder.string()) == 1);
  CHECK(here.files() == std::vector<std::string>{".tessera-writing-held", ".tessera-writing-made", "other"});
  std::filesystem::remove(path("made"));
  ::close(writer);
  producer::segment_writer next(here.options());
  CHECK(here.files() == std::vector<std::string>{"other"});
}

TEST_CASE("shared memory that cannot be written says so", "[producer]") {
  producer::segment_options options;
  options.folder = "/nowhere/at/all";
  producer::segment_writer writer(options);
  sample s(5);
  CHECK_THROWS_WITH(writer.write(s.frame), Catch::Contains("cannot write the segment /slam3r_keyframe_357 in /nowhere/at/all"));
}

TEST_CASE("prefixes that are no segment names are refused", "[producer]") {
  for (const char* bad : {"", "/", "/a/b", "../a", "/.hidden"}) {
    producer::segment_options options;
    options.prefix = bad;
    CHECK_THROWS_AS(producer::segment_writer(options), std::invalid_argument);
  }
}

TEST_CASE("a broker's address may have a password beyond ASCII, and says what will not do", "[producer]") {
  std::string url = "amqp://us%C3%A9r:p%C3%A4%24%2fs%zz%@host/%E2%82%AC%";
  producer::detail::decode_beyond_ascii(url);
  CHECK(url == "amqp://us\xc3\xa9r:p\xc3\xa4%24%2fs%zz%@host/\xe2\x82\xac%");
  const auto publisher_of = [](const char* address) {
    producer::amqp_options options;
    options.url = address;
    return std::make_unique<producer::amqp_publisher>(options);
  };
  for (const char* good : {"amqp://host", "amqp://host/", "amqp://us%C3%A9r:p%C3%A4ss%21@host:5673/%E2%82%AC"})
    CHECK_NOTHROW(publisher_of(good));
  CHECK_THROWS_WITH(publisher_of("amqp://host/v?heartbeat=30"), Catch::Contains("has a ?"));
  CHECK_THROWS_WITH(publisher_of("http://host"), Catch::Contains("must be like amqp://"));
  CHECK_THROWS_WITH(publisher_of("amqps://host/"), Catch::Contains("knows no TLS"));
}
