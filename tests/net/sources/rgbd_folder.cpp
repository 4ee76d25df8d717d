#include "net/sources/rgbd/rgbd_folder.hpp"

#include "net/base/bad_input.hpp"
#include "net/formats/image.hpp"
#include "net/formats/number_file.hpp"
#include "net/sources/source_table.hpp"
#include "recording_sink.hpp"
#include "rgbd_files.hpp"

#include <catch2/catch.hpp>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <cmath>
#include <cstdlib>
#include <map>
#include <sstream>

using namespace tessera;
using testing::rgbd_files;

namespace {

std::vector<std::byte> cut(std::vector<std::byte> bytes, size_t size) {
  bytes.resize(size);
  return bytes;
}

} // namespace

TEST_CASE("images survive a round trip") {
  auto depth = rgbd_files::depth_png(5, 4, [](uint32_t u, uint32_t v) { return static_cast<uint16_t>(1000 * u + v); });
  auto d = decode_depth(depth);
  REQUIRE(d.width == 5);
  REQUIRE(d.height == 4);
  CHECK(d.values[2 * 5 + 3] == 3002);
  auto c = decode_colour(rgbd_files::colour_png(3, 2, {10, 20, 30}));
  REQUIRE(c.rgb.size() == 18);
  CHECK(c.rgb[16] == 20);
  c = decode_colour(rgbd_files::colour_png(3, 2, {10, 20, 30, 128}));
  REQUIRE(c.rgb.size() == 18);
  CHECK(c.rgb[15] == 10);
  c = decode_colour(rgbd_files::colour_png(3, 2, {77}));
  CHECK(c.rgb == std::vector<uint8_t>(18, 77));
  c = decode_colour(rgbd_files::colour_jpeg(16, 16, {200, 100, 50}));
  REQUIRE(c.rgb.size() == 3 * 256);
  CHECK(std::abs(c.rgb[0] - 200) < 4);
  CHECK(std::abs(c.rgb[1] - 100) < 4);
}

TEST_CASE("a JPEG may be grey, sampled in any way, and padded between its markers") {
  CHECK(decode_colour(rgbd_files::colour_jpeg(2, 2, {77})).rgb == std::vector<uint8_t>(12, 77));
  for (int sampling : {1, 2, 3, 4}) {
    auto c = decode_colour(rgbd_files::colour_jpeg(16, 16, {200, 100, 50}, sampling));
    REQUIRE(c.rgb.size() == 3 * 256);
    CHECK(std::abs(c.rgb[3] - 200) < 4);
  }
  CHECK_THROWS_WITH(decode_colour(rgbd_files::colour_jpeg(2, 2, {1, 2, 3, 4})), Catch::Contains("the JPEG cannot be read"));
  auto padded = rgbd_files::colour_jpeg(32, 32, {200, 100, 50});
  const auto plain = decode_colour(padded).rgb;
  padded.insert(padded.begin() + 20, 40, std::byte{0}); // behind the first two markers
  CHECK(decode_colour(padded).rgb == plain);
  CHECK_THROWS_WITH(decode_colour(cut(padded, padded.size() - 6)), Catch::Contains("the JPEG is damaged"));
}

TEST_CASE("damaged images are refused at every cut") {
  auto png = rgbd_files::depth_png(16, 16, [](uint32_t u, uint32_t v) { return static_cast<uint16_t>(u * v); });
  auto jpeg = rgbd_files::colour_jpeg(32, 32, {1, 2, 3});
  for (size_t size = 0; size + 12 < png.size(); ++size) // the last chunk holds nothing
    CHECK_THROWS_AS(decode_depth(cut(png, size)), bad_input);
  for (size_t size = 0; size + 2 < jpeg.size(); size += 3)
    CHECK_THROWS_AS(decode_colour(cut(jpeg, size)), bad_input);
  for (size_t i = 0; i < png.size(); ++i) {
    auto bad = png;
    bad[i] ^= std::byte{0x55};
    try {
      decode_depth(bad);
    } catch (const bad_input&) {
    }
  }
  CHECK_THROWS_WITH(decode_depth(rgbd_files::colour_png(4, 4, {1, 2, 3})), Catch::Contains("one channel of 16 bits"));
  CHECK_THROWS_WITH(decode_depth(rgbd_files::colour_png(4, 4, {1})),
                    Catch::Contains("one channel of 16 bits") && Catch::Contains("of 8"));
  CHECK_THROWS_WITH(decode_depth(jpeg), Catch::Contains("no PNG"));
  CHECK_THROWS_WITH(decode_colour({}), Catch::Contains("empty"));
}

TEST_CASE("numbers in text are read, inf and nan too") {
  auto v = parse_numbers(" 1 -2.5e1,\n nan +inf\t-INF 1e999 ", 6);
  CHECK(v[1] == -25);
  CHECK(std::isnan(v[2]));
  CHECK(std::isinf(v[3]));
  CHECK(v[4] < 0);
  CHECK(std::isinf(v[5]));
  CHECK_THROWS_WITH(parse_numbers("1 2", 3), Catch::Contains("2 numbers, must be 3"));
  CHECK_THROWS_WITH(parse_numbers("1 2 3 4", 3), Catch::Contains("more than 3"));
  CHECK_THROWS_WITH(parse_numbers("1 two 3", 3), Catch::Contains("'two'"));
  v = parse_numbers("-1.#INF 1.#INF00 -1.#IND 1.#QNAN", 4);
  CHECK((std::isinf(v[0]) && v[0] < 0));
  CHECK((std::isinf(v[1]) && v[1] > 0));
  CHECK((std::isnan(v[2]) && std::isnan(v[3])));
  for (const char* odd : {"#INF", "1.#", "1.#INK", "2#INF"})
    CHECK_THROWS_WITH(parse_numbers(odd, 1), Catch::Contains("is no number"));
  CHECK(parse_numbers("1 2 3", {2, 3}).size() == 3);
  CHECK_THROWS_WITH(parse_numbers("1", {2, 3}), Catch::Contains("1 numbers, must be 2 or 3"));
}

TEST_CASE("every pixel with depth becomes a point of the world") {
  rgbd_files files;
  files.write_camera(100, 100, 4, 3);
  // Depth 1 m + 10 cm a row; nothing in column 0; too far in column 1.
  files.write("frame-000002.depth.png", rgbd_files::depth_png(8, 6, [](uint32_t u, uint32_t v) {
                return static_cast<uint16_t>(u == 0 ? 0 : u == 1 ? 4001 : u == 2 ? 4000 : 1000 + 100 * v);
              }));
  files.write("frame-000002.color.png", rgbd_files::colour_png(8, 6, {10, 20, 30}));
  // A quarter turn about z, then a step.
  files.write("frame-000002.pose.txt", std::string("0 -1 0 10\n1 0 0 20\n0 0 1 30\n0 0 0 1\n"));
  rgbd_folder folder(files.path());
  REQUIRE(folder.frames().size() == 1);
  auto k = folder.load(folder.frames()[0], {4});
  CHECK(k.id.value == "frame-000002");
  CHECK(k.timestamp_ns == 3 * 33'333'333);
  REQUIRE(k.body->size() == 6 * 6);
  // Row 1, column 3 is the second point of the second row of six.
  auto p = k.body->points().subspan(3 * (6 + 1), 3);
  float z = 1.1f, x = (3 - 4) * z / 100, y = (1 - 3) * z / 100;
  CHECK(p[0] == Approx(10 - y));
  CHECK(p[1] == Approx(20 + x));
  CHECK(p[2] == Approx(30 + z));
  CHECK(k.body->colours()[1] == 20);
  CHECK(folder.load(folder.frames()[0], {1.05f}).body->size() == 5);
}

TEST_CASE("a smaller or larger colour image of the same shape is used") {
  rgbd_files files;
  files.write_frame(0);
  files.write("frame-000000.color.png", rgbd_files::colour_png(16, 12, {9, 9, 9}));
  std::filesystem::remove(files.path() / "frame-000000.color.jpg");
  rgbd_folder folder(files.path());
  CHECK(folder.load(folder.frames()[0], {4}).body->colours()[0] == 9);
}

TEST_CASE("colour of nearly the same shape is mapped in proportion, of another it is refused") {
  rgbd_files files;
  files.write_camera(577, 577, 320, 240);
  files.write("frame-000000.pose.txt", std::string("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"));
  const auto with = [&](uint32_t colour_width, uint32_t colour_height, uint32_t width, uint32_t height) {
    files.write("frame-000000.depth.png",
                rgbd_files::depth_png(width, height, [](uint32_t, uint32_t) { return uint16_t{1500}; }));
    // Left red, right blue.
    files.write("frame-000000.color.png", rgbd_files::halved_png(colour_width, colour_height, {200, 0, 0}, {0, 0, 200}));
    const rgbd_folder folder(files.path());
    return folder.load(folder.frames()[0], {4});
  };
  for (const auto& [w, h] : {std::pair{1296u, 968u}, {320u, 240u}, {640u, 480u}, {652u, 480u}}) {
    INFO(w << " x " << h);
    const auto frame = with(w, h, 640, 480);
    const auto rgb = frame.body->colours();
    REQUIRE(frame.body->size() == 640 * 480);
    for (const size_t row : {0, 479}) {
      CHECK(rgb[3 * (640 * row + 318)] == 200);
      CHECK(rgb[3 * (640 * row + 321) + 2] == 200);
      CHECK(rgb[3 * (640 * row + 639) + 2] == 200);
    }
  }
  CHECK_THROWS_WITH(with(640, 360, 640, 480),
                    Catch::Contains("640 x 360") && Catch::Contains("640 x 480") && Catch::Contains("2 %"));
  CHECK_THROWS_WITH(with(1920, 1080, 640, 480), Catch::Contains("1920 x 1080"));
  CHECK_THROWS_WITH(with(640, 480, 640, 360), Catch::Contains("640 x 360"));
  CHECK_THROWS_WITH(with(480, 640, 640, 480), Catch::Contains("480 x 640"));
  CHECK_THROWS_WITH(with(654, 480, 640, 480), Catch::Contains("654 x 480"));
}

TEST_CASE("depth counts in the units that are said, and 65535 is none") {
  rgbd_files files;
  files.write_camera(100, 100, 4, 3);
  files.write("frame-000000.pose.txt", std::string("1 0 0 0\n0 1 0 0\n0 0 1 0\n0 0 0 1\n"));
  files.write("frame-000000.color.png", rgbd_files::colour_png(8, 6, {1, 2, 3}));
  files.write("frame-000000.depth.png",
              rgbd_files::depth_png(8, 6, [](uint32_t u, uint32_t) { return u == 0 ? uint16_t{65535} : uint16_t{5000}; }));
  rgbd_folder folder(files.path());
  const auto depth = [&](float max_depth_m, float scale) {
    return folder.load(folder.frames()[0], {max_depth_m, scale}).body->points()[2];
  };
  CHECK(depth(10, 1000) == Approx(5));
  CHECK(depth(10, 5000) == Approx(1));
  CHECK(depth(10, 6553.5f) == Approx(5000 / 6553.5));
  CHECK(depth(1, 5000) == Approx(1));
  for (const float farthest : {10.f, 65.535f, 100.f, 1000.f})
    CHECK(folder.load(folder.frames()[0], {farthest}).body->size() == 7 * 6);
  CHECK_THROWS_WITH(folder.load(folder.frames()[0], {4}), Catch::Contains("up to 4 m, at 1000 units a metre"));
  source_options none;
  none.rgbd.depth_scale = 0;
  CHECK_THROWS_WITH(make_source("rgbd:" + files.path().string(), none), Catch::Contains("depth scale is 0"));
}

TEST_CASE("a negative fy turns the image's y axis up") {
  rgbd_files files;
  files.write_frame(0);
  files.write_camera(100, -50, 4, 3);
  rgbd_folder folder(files.path());
  CHECK(folder.camera().fy == -50);
  const auto frame = folder.load(folder.frames()[0], {4});
  const auto p = frame.body->points();
  CHECK(p[0] == Approx(-4 * 1.5 / 100));
  CHECK(p[1] == Approx(3 * 1.5 / 50)); // the first row is above
  CHECK(p[2] == Approx(1.5));
}

TEST_CASE("with a negative fy the camera is turned, so that its y points down as that of others") {
  rgbd_files files;
  files.write_frame(0);
  files.write_camera(100, -50, 4, 3);
  files.write("frame-000000.pose.txt", std::string("0 -1 0 10\n1 0 0 20\n0 0 1 30\n0 0 0 1\n"));
  const rgbd_folder folder(files.path());
  const auto frame = folder.load(folder.frames()[0], {4});
  const pose turned{{0, 1, 0, 10, -1, 0, 0, 20, 0, 0, 1, 30, 0, 0, 0, 1}};
  CHECK(frame.world_from_camera == turned);
  const auto p = frame.body->points(); // column 0, row 0: x -0.06, y 0.09 of the camera in the file
  CHECK(p[0] == Approx(10 - 3 * 1.5 / 50));
  CHECK(p[1] == Approx(20 - 4 * 1.5 / 100));
  CHECK(p[2] == Approx(31.5));
}

TEST_CASE("the frames of several folders have sessions") {
  rgbd_files files;
  files.write_frame(0);
  source_options o;
  o.rgbd.session = "seq-01";
  testing::recording_sink sink;
  make_source("rgbd:" + files.path().string(), o)->run(sink, {});
  REQUIRE(sink.frames().size() == 1);
  CHECK(sink.frames()[0].id == keyframe_id{"frame-000000", "seq-01"});
  o.rgbd.session = std::string(65, 's');
  CHECK_THROWS_WITH(make_source("rgbd:" + files.path().string(), o), Catch::Contains("session has 65 bytes"));

  using texts = std::vector<std::string>;
  CHECK(sessions_of({"rgbd:a/seq-01", "synthetic:room"}) == texts{"", ""});
  CHECK(sessions_of({"rgbd:a/seq-01", "shm:/x", "rgbd:a/seq-02/."}) == texts{"seq-01", "", "seq-02"});
  CHECK(sessions_of({"rgbd:/a/seq-01", "rgbd:/b/seq-01/", "rgbd:/b/seq-02"}) == texts{"a-seq-01", "b-seq-01", "b-seq-02"});
  CHECK(sessions_of({"rgbd:/b/seq-01", "rgbd:/a/seq-01"}) == texts{"b-seq-01", "a-seq-01"}); // whatever the order
  CHECK(sessions_of({"rgbd:/a/s", "rgbd:/a/./s/", "rgbd:/a/t"}) == texts{"s", "s", "t"});    // the same folder twice
  CHECK(sessions_of({"rgbd:/a~b", "rgbd:/\xff"}) == texts{"a_b", "_"});
  const std::string many(80, 's');
  const auto long_ones = sessions_of({"rgbd:/" + many + "1", "rgbd:/2" + many});
  CHECK(long_ones[0].size() == keyframe_id::max_session_bytes);
  CHECK(long_ones[0] != long_ones[1]);
  CHECK(sessions_of({"rgbd:/1" + many, "rgbd:/2" + many}) == texts{"folder-1", "folder-2"});
}

TEST_CASE("intrinsics of 4 x 4 numbers are read, and those in the folder above") {
  rgbd_files files;
  files.write_frame(0);
  files.write("camera-intrinsics.txt", std::string("577.5 0 319.5 0\n0 578.5 239.5 0\n0 0 1 0\n0 0 0 1\n"));
  for (const char* file : {"frame-000000.depth.png", "frame-000000.color.jpg", "frame-000000.pose.txt"}) {
    std::filesystem::create_directories(files.path() / "seq-01");
    std::filesystem::copy(files.path() / file, files.path() / "seq-01" / file);
  }
  for (const auto& where : {files.path(), files.path() / "seq-01", files.path() / "seq-01" / "", files.path() / "seq-01" / "."}) {
    INFO(where);
    const auto camera = rgbd_folder(where).camera();
    CHECK(camera.fx == 577.5f);
    CHECK(camera.fy == 578.5f);
    CHECK(camera.cx == 319.5f);
    CHECK(camera.cy == 239.5f);
  }
  const rgbd_files elsewhere; // a sequence that is a link: above it as it is called, else above where it lies
  std::filesystem::create_directory_symlink(files.path() / "seq-01", elsewhere.path() / "linked");
  CHECK(rgbd_folder(elsewhere.path() / "linked").camera().fx == 577.5f);
  elsewhere.write_camera(300, 300, 1, 1);
  for (const auto& where : {elsewhere.path() / "linked", elsewhere.path() / "linked" / ""})
    CHECK(rgbd_folder(where).camera().fx == 300);
  // Those beside the frames win.
  files.write("seq-01/camera-intrinsics.txt", std::string("1 0 2 0 3 4 0 0 1"));
  CHECK(rgbd_folder(files.path() / "seq-01").camera().fx == 1);
  files.write("camera-intrinsics.txt", std::string("577.5 0 0 0 578.5 0 319.5 239.5 1"));
  CHECK_THROWS_WITH(rgbd_folder(files.path()), Catch::Contains("third row"));
  files.write("camera-intrinsics.txt", std::string("577.5 0 1 0 0 1 0 0 1"));
  CHECK_THROWS_WITH(rgbd_folder(files.path()), Catch::Contains("fy 0"));
}

TEST_CASE("frames without a pose are skipped and are no bad input") {
  rgbd_files files;
  for (int i = 0; i < 6; ++i)
    files.write_frame(i);
  files.write("frame-000000.pose.txt",
              std::string("-inf -inf -inf -inf\n-inf -inf -inf -inf\n-inf -inf -inf -inf\n-inf -inf -inf -inf\n"));
  files.write("frame-000002.pose.txt", std::string("nan nan nan nan nan nan nan nan nan nan nan nan 0 0 0 1"));
  files.write(
    "frame-000003.pose.txt",
    std::string("-1.#INF -1.#INF -1.#INF -1.#INF -1.#INF -1.#INF -1.#INF -1.#INF -1.#INF -1.#INF -1.#INF -1.#INF 0 0 0 1"));
  rgbd_folder folder(files.path());
  CHECK_THROWS_AS(folder.load(folder.frames()[0], {4}), no_pose);
  std::ostringstream log;
  const auto before = spdlog::default_logger();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log)));
  testing::recording_sink sink;
  make_source("rgbd:" + files.path().string(), {})->run(sink, {});
  spdlog::set_default_logger(before);
  CHECK(sink.asides().empty());
  REQUIRE(sink.frames().size() == 3);
  CHECK(sink.frames()[0].id.value == "frame-000001");
  const auto said = log.str();
  CHECK(said.find("frame-000000.pose.txt holds no finite number") != std::string::npos);
  CHECK(said.find("frame-000002") == std::string::npos); // told once
  CHECK(said.find("3 of 6 frames offered, 3 skipped that have no pose, 0 set aside") != std::string::npos);
}

TEST_CASE("a folder that is no RGB-D folder cannot even start") {
  rgbd_files files;
  CHECK_THROWS_WITH(make_source("rgbd:" + (files.path() / "no").string(), {}), Catch::Contains("/no: No such file"));
  CHECK_THROWS_WITH(make_source("rgbd:" + files.path().string(), {}), Catch::Contains("camera-intrinsics.txt"));
  files.write("camera-intrinsics.txt", std::string("1 0 0"));
  CHECK_THROWS_WITH(rgbd_folder(files.path()), Catch::Contains("3 numbers, must be 9"));
  CHECK_THROWS_WITH(rgbd_folder(files.path()), Catch::Contains("3 numbers, must be 9 or 16"));
  files.write("camera-intrinsics.txt", std::string("0 0 1 0 1 1 0 0 1"));
  CHECK_THROWS_WITH(rgbd_folder(files.path()), Catch::Contains("fx is 0"));
  files.write("camera-intrinsics.txt", std::string("nan 0 1 0 1 1 0 0 1"));
  CHECK_THROWS_WITH(rgbd_folder(files.path()), Catch::Contains("not finite"));
  files.write_camera(100, 100, 4, 3);
  files.write("rgb/0001.png", std::string("x"));
  CHECK_THROWS_WITH(rgbd_folder(files.path()), Catch::Contains("no frames"));
}

TEST_CASE("each bad frame is set aside by name, and the others come") {
  rgbd_files files;
  for (int i = 0; i < 14; ++i)
    files.write_frame(i);
  auto in = [&](const char* file) { return files.path() / file; };
  std::filesystem::remove(in("frame-000001.pose.txt"));
  std::filesystem::remove(in("frame-000002.color.jpg"));
  std::filesystem::remove(in("frame-000003.depth.png"));
  files.write("frame-000004.pose.txt", std::string("inf 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"));
  files.write("frame-000005.pose.txt", std::string("1 0 0"));
  files.write("frame-000006.depth.png", std::string("no image"));
  files.write("frame-000007.color.jpg", std::string());
  files.write("frame-000008.color.jpg", rgbd_files::colour_jpeg(8, 32, {1, 2, 3}));
  files.write("frame-000009.depth.png", rgbd_files::colour_png(8, 6, {7}));
  files.write("frame-000010.depth.png", rgbd_files::depth_png(8, 6, [](uint32_t, uint32_t) { return uint16_t{0}; }));
  files.write("frame-000011.pose.txt", std::string("-nan 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1"));
  std::filesystem::remove(in("frame-000012.depth.png"));
  std::filesystem::create_directory(in("frame-000012.depth.png"));
  testing::recording_sink sink;
  source_options o;
  o.sequence.prefetch_threads = 2;
  auto source = make_source("rgbd:" + files.path().string(), o);
  CHECK(source->total() == 14u);
  source->run(sink, {});
  REQUIRE(sink.frames().size() == 2);
  CHECK(sink.frames()[0].id.value == "frame-000000");
  CHECK(sink.frames()[1].id.value == "frame-000013");
  std::map<std::string, std::string> why;
  for (const auto& a : sink.asides()) {
    CHECK(a.source == "rgbd");
    why[a.what.substr(a.what.size() - 2)] = a.reason;
  }
  REQUIRE(why.size() == 12);
  CHECK_THAT(why["01"], Catch::Contains("frame-000001.pose.txt is missing"));
  CHECK_THAT(why["02"], Catch::Contains("frame-000002.color"));
  CHECK_THAT(why["03"], Catch::Contains("frame-000003.depth.png is missing"));
  CHECK_THAT(why["04"], Catch::Contains("frame-000004.pose.txt") && Catch::Contains("infinite"));
  CHECK_THAT(why["05"], Catch::Contains("frame-000005.pose.txt") && Catch::Contains("3 numbers"));
  CHECK_THAT(why["06"], Catch::Contains("frame-000006.depth.png") && Catch::Contains("no PNG"));
  CHECK_THAT(why["07"], Catch::Contains("frame-000007.color.jpg") && Catch::Contains("empty"));
  CHECK_THAT(why["08"], Catch::Contains("8 x 32") && Catch::Contains("8 x 6"));
  CHECK_THAT(why["09"], Catch::Contains("16 bits"));
  CHECK_THAT(why["10"], Catch::Contains("no depth"));
  CHECK_THAT(why["11"], Catch::Contains("not a number"));
  CHECK_THAT(why["12"], Catch::Contains("not a plain file"));
}

TEST_CASE("the real room's frames are read") {
  const char* shared = std::getenv("TESSERA_SHARED");
  auto beside = std::filesystem::path(TESSERA_SOURCE_DIR) / "../shared"; // beside the source tree
  auto where = (shared != nullptr ? std::filesystem::path(shared) : beside) / "data" / "rgbd-room";
  if (!std::filesystem::exists(where)) {
    WARN("skipped: " << where << " is not there; TESSERA_SHARED can name the folder that holds data/rgbd-room");
    return;
  }
  source_options o;
  o.sequence.limit = 3;
  o.sequence.every = 30;
  auto source = make_source("rgbd:" + where.string(), o);
  testing::recording_sink sink;
  source->run(sink, {});
  REQUIRE(sink.frames().size() == 3);
  CHECK(sink.asides().empty());
  for (const auto& k : sink.frames())
    CHECK(k.body->size() > 200'000);
}
