#include "net/formats/slice_options.hpp"

#include "net/base/bad_input.hpp"
#include "net/base/utf8.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>

namespace tessera {

namespace {

constexpr uint32_t least_size = 100, most_size = 2048;
/// As gpu/shared/lattice.hpp has it.
constexpr double map_limit = 1 << 19;

/// Says what may be there; its caller says of what.
[[noreturn]] void wanted(const std::string& what) {
  throw bad_input(what);
}

double number_of(std::string_view text, const char* what) {
  double out = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (failed != std::errc{} || end != text.data() + text.size() || !std::isfinite(out))
    wanted(what);
  return out;
}

void read_axis(std::string_view text, slice_options& into) {
  if (text.size() != 1 || text[0] < 'x' || text[0] > 'z')
    wanted("x, y or z");
  into.axis = static_cast<uint8_t>(text[0] - 'x');
}

void read_at(std::string_view text, slice_options& into) {
  into.at_m = number_of(text, "a number of metres");
}

void read_show(std::string_view text, slice_options& into) {
  using enum slice_options::quantity;
  if (text == "distance")
    into.show = distance;
  else if (text == "weight")
    into.show = weight;
  else if (text == "colour" || text == "color")
    into.show = colour;
  else if (text == "all")
    into.show = all;
  else
    wanted("distance, weight, colour or all");
}

void read_area(std::string_view text, slice_options& into) {
  constexpr const char* what = "four numbers of metres, U0,U1,V0,V1, with U0 < U1 and V0 < V1";
  std::array<double, 4> values{};
  for (size_t i = 0; i < 4; ++i) {
    const auto comma = i < 3 ? text.find(',') : text.size();
    if (comma == text.npos)
      wanted(what);
    values[i] = number_of(text.substr(0, comma), what);
    text.remove_prefix(i < 3 ? comma + 1 : comma);
  }
  if (values[0] >= values[1] || values[2] >= values[3])
    wanted(what);
  into.area_m = {{{values[0], values[1]}, {values[2], values[3]}}};
}

void read_size(std::string_view text, slice_options& into) {
  const auto what = std::to_string(least_size) + " to " + std::to_string(most_size) + " pixels";
  uint32_t out = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (failed != std::errc{} || end != text.data() + text.size() || out < least_size || out > most_size)
    wanted(what);
  into.size = out;
}

void read_theme(std::string_view text, slice_options& into) {
  if (text != "light" && text != "dark")
    wanted("light or dark");
  into.dark = text == "dark";
}

constexpr std::array table{
  slice_option{"axis", "x|y|z", "The axis that the plane is across. [default z]", read_axis},
  slice_option{"at", "METRES", "Where on that axis the plane is: the layer of voxels nearest to it is shown", read_at},
  slice_option{"show", "distance|weight|colour|all", "What to show of the voxels. [default all]", read_show},
  slice_option{
    "area", "U0,U1,V0,V1",
    "The part of the plane to show, in metres on its two other axes in their order. Unless given: all that is observed",
    read_area},
  slice_option{"size", "PIXELS", "The longer side of each panel, at most. [100 to 2048 pixels; default 640]", read_size},
  slice_option{"theme", "light|dark", "The page that the picture is for. [default light]", read_theme},
};

std::string short_number(double value) {
  std::array<char, 32> text{};
  const auto [end, failed] = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, 6);
  return {text.data(), failed == std::errc{} ? end : text.data()};
}

} // namespace

std::span<const slice_option> slice_option_table() {
  return table;
}

void read_slice_option(const slice_option& which, std::string_view text, slice_options& into) {
  try {
    which.read(text, into);
  } catch (const bad_input& what) {
    throw bad_input(std::string(which.name) + " is '" + printable(text) + "', and can be " + what.what());
  }
}

field_plane plane_of(const slice_options& options, float voxel_m) {
  const auto voxel = static_cast<double>(voxel_m);
  const auto layer = std::floor(options.at_m / voxel + 0.5);
  if (!(std::abs(layer) < map_limit))
    throw bad_input("at is " + short_number(options.at_m) + " m; a map with voxels of " + short_number(voxel) + " m reaches to "
                    + short_number(map_limit * voxel) + " m on both sides of 0");
  field_plane out{.axis = options.axis, .layer = static_cast<int32_t>(layer)};
  if (options.area_m)
    for (size_t i = 0; i < 2; ++i) {
      const auto bounded = [&](double at_m) { return std::clamp(at_m / voxel, -map_limit, map_limit - 1); };
      out.low[i] = static_cast<int32_t>(std::floor(bounded((*options.area_m)[i][0]) + 0.5));
      out.high[i] = static_cast<int32_t>(std::floor(bounded((*options.area_m)[i][1]) + 0.5));
    }
  return out;
}

std::string fault_of_slice(const field_slice& slice, const slice_options& options, uint64_t most) {
  if (slice.cut > most)
    return "the plane goes through " + std::to_string(slice.cut) + " regions, at most " + std::to_string(most)
           + " can be shown at once: name a part of it (area)";
  if (slice.parts.empty())
    return "nothing was observed at " + place_text(options) + (options.area_m ? " in that area" : "");
  return {};
}

std::string place_text(const slice_options& options) {
  return std::string(1, static_cast<char>('x' + options.axis)) + " = " + short_number(options.at_m) + " m";
}

} // namespace tessera
