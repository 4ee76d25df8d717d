#include "net/base/bad_input.hpp"
#include "net/formats/colour_scale.hpp"
#include "net/formats/image.hpp"
#include "net/formats/slice_picture.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <cmath>
#include <set>

using namespace tessera;
using colour = std::array<uint8_t, 3>;

namespace {

/// A wall at the second axis' voxel `wall`, from -30 to 29 on the first, in regions of 16 voxels, seen from below.
field_slice wall_slice(float wall) {
  field_slice out;
  for (int32_t u = -2; u < 2; ++u)
    for (int32_t v = 0; v < 2; ++v) {
      region_slice part{{u, v, 0}, std::vector<float>(256), std::vector<uint32_t>(256), std::vector<uint8_t>(768)};
      for (int32_t i = 0; i < 256; ++i) {
        const auto at_u = u * 16 + i % 16, at_v = v * 16 + i / 16;
        const auto distance = (wall - static_cast<float>(at_v)) / 3;
        if (at_u < -30 || at_u >= 30 || std::abs(distance) > 1)
          continue;
        const auto n = static_cast<size_t>(i);
        part.distances[n] = distance;
        part.weights[n] = 1000;
        part.colours[3 * n] = 200;
        part.colours[3 * n + 1] = 100;
        part.colours[3 * n + 2] = 50;
      }
      out.parts.push_back(std::move(part));
    }
  out.cut = out.parts.size();
  return out;
}

const slice_map map{0.05f, 0.15f, 16};

slice_options showing(std::string_view text) {
  slice_options out;
  for (const auto& one : slice_option_table())
    if (one.name == "show")
      read_slice_option(one, text, out);
  return out;
}

colour at(const colour_image& image, size_t x, size_t y) {
  const auto* p = image.rgb.data() + 3 * (y * image.width + x);
  return {p[0], p[1], p[2]};
}

/// Pixels of each colour.
size_t count(const colour_image& image, const colour& wanted) {
  size_t out = 0;
  for (size_t y = 0; y < image.height; ++y)
    for (size_t x = 0; x < image.width; ++x)
      out += at(image, x, y) == wanted ? 1 : 0;
  return out;
}

std::string fault(std::string_view name, std::string_view text) {
  slice_options into;
  for (const auto& one : slice_option_table())
    if (one.name == name)
      try {
        read_slice_option(one, text, into);
        return "";
      } catch (const bad_input& e) {
        return e.what();
      }
  return "no such option";
}

} // namespace

TEST_CASE("A wall is drawn blue before it, red behind it, with a black line where the distance is zero") {
  const auto image = draw_slice(wall_slice(8.5f), {}, showing("distance"), map);
  // 60 + 4 x 6 + 4 voxels of 10 pixels. The column in the middle, from the bottom of the plot up.
  const auto x = size_t{18 + 44 + 320};
  std::vector<colour> column;
  for (size_t y = 44 + 26; y < 44 + 26 + 100; ++y)
    column.push_back(at(image, x, y));
  std::reverse(column.begin(), column.end());
  const auto first_of = [&](auto is) { return std::find_if(column.begin(), column.end(), is) - column.begin(); };
  const auto blue = first_of([](const colour& c) { return c[2] > c[0] + 60; });
  const auto black = first_of([](const colour& c) { return c[0] < 40 && c[1] < 40 && c[2] < 40; });
  const auto red = first_of([](const colour& c) { return c[0] > c[2] + 60; });
  CHECK(blue < black);
  CHECK(black < red);
  // The plot begins 2 voxels before the first that is observed, v = 6; the line is at v = 8.5: 5 voxels above the bottom.
  CHECK(std::abs(black - 50) <= 2);
  CHECK(count(image, diverging_colour((8.5f - 6) / 3)) >= 60 * 100);
}

TEST_CASE("Where nothing was observed is hatched, and a hole in a wall is not white") {
  auto slice = wall_slice(8);
  for (auto& part : slice.parts)
    for (size_t i = 0; i < part.weights.size(); ++i)
      if (i % 16 == 5)
        part.weights[i] = 0;
  const auto image = draw_slice(slice, {}, showing("colour"), map);
  CHECK(count(image, {200, 100, 50}) == (60 - 4) * 7 * 100);
  CHECK(count(image, {240, 241, 243}) > 4 * 7 * 80); // the hatching's ground
  CHECK(count(image, {208, 212, 217}) > 4 * 7 * 10); // and its lines
}

TEST_CASE("Panels stand side by side, those of very wide slices one above the other; the size is kept") {
  const auto one = draw_slice(wall_slice(8), {}, showing("distance"), map);
  const auto all = draw_slice(wall_slice(8), {}, showing("all"), map);
  CHECK(one.width == 2 * 18 + 44 + 640);
  CHECK(all.width == one.width);
  CHECK(all.height > 3 * 110);
  auto options = showing("all");
  options.area_m = {{{-1, 1}, {-1, 1}}};
  const auto square = draw_slice(wall_slice(8), plane_of(options, 0.05f), options, map);
  CHECK(square.width > 3 * 600);
  CHECK(square.width < 3 * (640 + 44 + 26) + 36);
  options.size = 2048;
  options.area_m = {{{-100, 100}, {-90, 90}}};
  const auto largest = draw_slice(wall_slice(8), plane_of(options, 0.05f), options, map);
  CHECK(uint64_t{largest.width} * largest.height <= max_image_pixels);
  options.area_m = {{{-20000, 20000}, {-20000, 20000}}}; // beyond the map on all sides
  const auto whole = draw_slice(wall_slice(8), plane_of(options, 0.05f), options, map);
  CHECK(uint64_t{whole.width} * whole.height <= max_image_pixels);
}

TEST_CASE("A pixel of many voxels shows the one that is nearest to the surface") {
  auto options = showing("distance");
  options.size = 100;
  options.area_m = {{{-25, 25}, {-25, 25}}}; // 1001 voxels: 11 a pixel
  const auto image = draw_slice(wall_slice(8), plane_of(options, 0.05f), options, map);
  // The line is drawn over it; beside it nothing is far from the surface.
  CHECK(count(image, diverging_colour(0)) + count(image, {0, 0, 0}) > 0);
  const auto plot_height = size_t{100};
  for (size_t y = 70; y < 70 + plot_height; ++y)
    for (size_t x = 62; x < 62 + plot_height; ++x) {
      const auto c = at(image, x, y);
      CHECK(std::abs(c[0] - c[2]) < 60); // neither blue nor red
    }
}

TEST_CASE("Dark pages get dark pictures") {
  auto options = showing("weight");
  options.dark = true;
  const auto image = draw_slice(wall_slice(8), {}, options, map);
  CHECK(at(image, 0, 0) == colour{18, 24, 32});
  CHECK(count(image, rising_colour(1)) >= 60 * 6 * 100 - 2000); // all weights are the most there is; the line takes some
}

TEST_CASE("A picture becomes a PNG and comes back as it was") {
  const auto image = draw_slice(wall_slice(8), {}, showing("all"), map);
  const auto png = encode_png(image);
  const auto back = decode_colour(png);
  CHECK(back.width == image.width);
  CHECK(back.height == image.height);
  CHECK(back.rgb == image.rgb);
  CHECK(png.size() < image.rgb.size() / 10);
  CHECK_THROWS_AS(encode_png({0, 5, {}}), std::invalid_argument);
  CHECK_THROWS_WITH(encode_png({20000, 1, std::vector<uint8_t>(60000)}),
                    Catch::Contains("20000 x 1") && Catch::Contains("16384"));
}

TEST_CASE("Nothing is no picture") {
  CHECK_THROWS_AS(draw_slice({}, {}, {}, map), std::invalid_argument);
}

TEST_CASE("An option that cannot be is named with its value and the bound") {
  CHECK(fault("axis", "w") == "axis is 'w', and can be x, y or z");
  CHECK(fault("axis", "") == "axis is '', and can be x, y or z");
  CHECK(fault("at", "1.2m") == "at is '1.2m', and can be a number of metres");
  CHECK(fault("at", "nan") == "at is 'nan', and can be a number of metres");
  CHECK(fault("show", "everything") == "show is 'everything', and can be distance, weight, colour or all");
  CHECK(fault("size", "99") == "size is '99', and can be 100 to 2048 pixels");
  CHECK(fault("size", "2049") == "size is '2049', and can be 100 to 2048 pixels");
  CHECK(fault("size", "-1") == "size is '-1', and can be 100 to 2048 pixels");
  CHECK(fault("theme", "pink") == "theme is 'pink', and can be light or dark");
  for (const char* area : {"1,2,3", "1,2,3,4,5", "2,1,0,1", "0,1,5,5", "0,1,0,inf", "a,b,c,d", ""})
    CHECK_THAT(fault("area", area), Catch::StartsWith("area is '" + std::string(area) + "', and can be four numbers of metres"));
  for (const auto& [name, text] :
       {std::pair{"axis", "x"}, {"at", "-1e2"}, {"show", "color"}, {"area", "-1,1,0,2.5"}, {"size", "100"}})
    CHECK(fault(name, text).empty());
}

TEST_CASE("A plane is the layer of voxels nearest to it, within the map") {
  slice_options options;
  const auto layer_at = [&](double at_m) {
    options.at_m = at_m;
    return plane_of(options, 0.05f).layer;
  };
  CHECK(layer_at(0) == 0);
  CHECK(layer_at(0.024) == 0);
  CHECK(layer_at(0.026) == 1);
  CHECK(layer_at(-0.026) == -1);
  CHECK(layer_at(-0.024) == 0);
  CHECK(layer_at(26214.3) == (1 << 19) - 2);
  CHECK_THROWS_WITH(layer_at(26215), Catch::Contains("at is 26215 m") && Catch::Contains("reaches to 26214.4 m"));
  CHECK_THROWS_AS(layer_at(-1e300), bad_input);
}

TEST_CASE("What cannot be shown says why") {
  slice_options options;
  options.at_m = 1.25;
  field_slice slice;
  CHECK(fault_of_slice(slice, options, 10) == "nothing was observed at z = 1.25 m");
  slice.cut = 11;
  CHECK(fault_of_slice(slice, options, 10)
        == "the plane goes through 11 regions, at most 10 can be shown at once: name a part of it (area)");
  CHECK(fault_of_slice(wall_slice(8), options, 10).empty());
}
