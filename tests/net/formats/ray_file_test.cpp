#include "net/formats/ray_file.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <cstring>
#include <sstream>

using namespace tessera;

TEST_CASE("Rays become points of the world with direction, colour, number of points and weight") {
  const std::vector<ray> rays{{256, 0, 512, 1, 2, 3, 5}, {-256, 128, 256, 4, 5, 6, 255}};
  pose at; // turned by 90 degrees about z, twice as large
  at.m = {0, -2, 0, 10, 2, 0, 0, 20, 0, 0, 2, 30, 0, 0, 0, 1};
  std::ostringstream out;
  write_rays(out, rays, at, 0.5f, "monday/7");
  const auto text = out.str();
  const auto end = text.find("end_header\n") + 11;
  const auto head = text.substr(0, end);
  for (const char* line : {"format binary_little_endian 1.0", "comment keyframe monday/7", "comment camera 10 20 30",
                           "comment voxel_m 0.5", "element vertex 2", "property uchar points", "property float quality"})
    CHECK_THAT(head, Catch::Contains(std::string(line) + '\n'));
  REQUIRE(text.size() == end + 2 * 32);
  const auto floats = [&](size_t i) {
    std::array<float, 6> values{};
    std::memcpy(values.data(), text.data() + end + 32 * i, sizeof values);
    return values;
  };
  // One voxel is 0.5 m of the keyframe's own, which is 1 m of the map's.
  CHECK(floats(0)[0] == Approx(10));
  CHECK(floats(0)[1] == Approx(21));
  CHECK(floats(0)[2] == Approx(32));
  CHECK(floats(0)[4] == Approx(-1 / std::sqrt(5.)));
  CHECK(floats(0)[5] == Approx(-2 / std::sqrt(5.)));
  CHECK(floats(1)[0] == Approx(9.5));
  CHECK(floats(1)[1] == Approx(19));
  CHECK(static_cast<uint8_t>(text[end + 24]) == 1);
  CHECK(static_cast<uint8_t>(text[end + 27]) == 5);
  float quality = 0;
  std::memcpy(&quality, text.data() + end + 28, 4);
  CHECK(quality == 20);
  std::memcpy(&quality, text.data() + end + 60, 4);
  CHECK(quality == 124); // 31 points at most count
}
