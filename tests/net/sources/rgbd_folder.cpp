#include "net/sources/rgbd_folder.hpp"

#include "net/sources/bad_input.hpp"
#include "net/sources/image.hpp"
#include "net/sources/number_file.hpp"
#include "recording_sink.hpp"
#include "rgbd_files.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <cstdlib>
#include <map>

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
  auto k = folder.load(folder.frames()[0], 4);
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
  CHECK(folder.load(folder.frames()[0], 1.05f).body->size() == 5);
}

TEST_CASE("a smaller or larger colour image of the same shape is used") {
  rgbd_files files;
  files.write_frame(0);
  files.write("frame-000000.color.png", rgbd_files::colour_png(16, 12, {9, 9, 9}));
  std::filesystem::remove(files.path() / "frame-000000.color.jpg");
  rgbd_folder folder(files.path());
  CHECK(folder.load(folder.frames()[0], 4).body->colours()[0] == 9);
}

TEST_CASE("a folder that is no RGB-D folder cannot even start") {
  rgbd_files files;
  CHECK_THROWS_WITH(make_source("rgbd:" + (files.path() / "no").string(), {}), Catch::Contains("/no: No such file"));
  CHECK_THROWS_WITH(make_source("rgbd:" + files.path().string(), {}), Catch::Contains("camera-intrinsics.txt"));
  files.write("camera-intrinsics.txt", std::string("1 0 0"));
  CHECK_THROWS_WITH(rgbd_folder(files.path()), Catch::Contains("3 numbers, must be 9"));
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
  files.write("frame-000004.pose.txt", std::string("inf inf inf inf inf inf inf inf inf inf inf inf 0 0 0 1"));
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
  o.prefetch_threads = 2;
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
  auto beside = std::filesystem::path(__FILE__).parent_path() / "../../../../shared"; // beside the source tree
  auto where = (shared != nullptr ? std::filesystem::path(shared) : beside) / "data" / "rgbd-room";
  if (!std::filesystem::exists(where)) {
    WARN("skipped: " << where << " is not there; TESSERA_SHARED can name the folder that holds data/rgbd-room");
    return;
  }
  source_options o;
  o.limit = 3;
  o.every = 30;
  auto source = make_source("rgbd:" + where.string(), o);
  testing::recording_sink sink;
  source->run(sink, {});
  REQUIRE(sink.frames().size() == 3);
  CHECK(sink.asides().empty());
  for (const auto& k : sink.frames())
    CHECK(k.body->size() > 200'000);
}
