#include "net/sources/rgbd/rgbd_folder.hpp"

#include "messages/clock.hpp"
#include "messages/names.hpp"
#include "net/base/bad_input.hpp"
#include "net/formats/image.hpp"
#include "net/formats/number_file.hpp"
#include "net/sources/rgbd/rgbd_options.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <sstream>
#include <stdexcept>

namespace tessera {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t frame_interval_ns = 33'333'333;
/// What depth cameras write where they saw nothing, beside 0 (7-Scenes, 3DMatch).
constexpr uint16_t no_depth = 65535;

/// In the folder itself, or in the one above, where the sequences of a scene share it.
fs::path intrinsics_of(const fs::path& where) {
  constexpr const char* name = "camera-intrinsics.txt";
  auto here = where / name;
  std::error_code failed;
  if (fs::exists(here, failed))
    return here;
  // Above the folder as it is called, which may be a symbolic link; then above where it lies.
  const auto called = (fs::absolute(where, failed) / "").lexically_normal().parent_path();
  for (const auto& folder : {called, fs::weakly_canonical(where, failed)})
    if (auto above = folder.parent_path() / name; fs::exists(above, failed))
      return above;
  return here;
}

pinhole read_camera(const fs::path& where) {
  const auto path = intrinsics_of(where);
  std::vector<double> k;
  try {
    k = read_numbers(path, {9, 16});
  } catch (const bad_input& e) {
    throw std::runtime_error(std::string(e.what())
                             + "; an RGB-D folder needs camera-intrinsics.txt (3 x 3 or 4 x 4 numbers; it may lie in the folder "
                               "above), and frame-*.color.jpg or .png, frame-*.depth.png, frame-*.pose.txt");
  }
  for (double v : k)
    if (!std::isfinite(v))
      throw std::runtime_error(path.string() + ": a value is not finite");
  const size_t row = k.size() == 9 ? 3 : 4;
  if (k[2 * row] != 0 || k[2 * row + 1] != 0 || k[2 * row + 2] != 1)
    throw std::runtime_error(path.string() + ": the third row must begin with 0 0 1 (fx 0 cx, 0 fy cy, 0 0 1)");
  pinhole camera{static_cast<float>(k[0]), static_cast<float>(k[row + 1]), static_cast<float>(k[2]),
                 static_cast<float>(k[row + 2])};
  if (!(camera.fx > 0 && camera.fy != 0))
    throw std::runtime_error(path.string() + ": fx is " + std::to_string(camera.fx) + " and fy " + std::to_string(camera.fy)
                             + "; fx must be above 0, and fy not 0 (below 0: y points up)");
  return camera;
}

std::vector<rgbd_frame> list_frames(const fs::path& where) {
  std::map<std::pair<uint64_t, std::string>, rgbd_frame> found;
  for (const auto& entry : fs::directory_iterator(where)) {
    auto file = entry.path().filename().string();
    if (!file.starts_with("frame-"))
      continue;
    auto dot = file.find('.');
    if (dot == std::string::npos)
      continue;
    uint64_t number = 0;
    auto [end, error] = std::from_chars(file.data() + 6, file.data() + dot, number);
    if (error != std::errc{} || end != file.data() + dot)
      continue;
    auto name = file.substr(0, dot);
    auto& frame = found[{number, name}];
    frame.number = number;
    frame.name = name;
    auto rest = file.substr(dot);
    if (rest == ".color.jpg" || rest == ".color.jpeg" || (rest == ".color.png" && frame.colour.empty()))
      frame.colour = entry.path();
    else if (rest == ".depth.png")
      frame.depth = entry.path();
    else if (rest == ".pose.txt")
      frame.pose = entry.path();
  }
  std::vector<rgbd_frame> frames;
  for (auto& [key, frame] : found)
    if (!frame.colour.empty() || !frame.depth.empty() || !frame.pose.empty())
      frames.push_back(std::move(frame));
  if (frames.empty())
    throw std::runtime_error(where.string()
                             + " has no frames: frame-N.color.jpg or .png, frame-N.depth.png and "
                               "frame-N.pose.txt are wanted, N being digits");
  return frames;
}

/// Turns the camera by half about the way it looks.
void turn_half(pose& world_from_camera) {
  for (const size_t axis : {0, 1})
    for (size_t row = 0; row < 3; ++row)
      world_from_camera.m[4 * row + axis] *= -1;
}

pose read_pose(const fs::path& path) {
  const auto values = read_numbers(path, {16});
  // Where tracking was lost, ScanNet has -inf and others nan; some keep the last row.
  if (std::none_of(values.begin(), values.begin() + 12, [](double v) { return std::isfinite(v); }))
    throw no_pose(path.filename().string() + " holds no finite number");
  pose p;
  for (size_t i = 0; i < 16; ++i) {
    if (!std::isfinite(values[i]))
      throw bad_input(path.filename().string() + ": value " + std::to_string(i) + " is "
                      + (std::isnan(values[i]) ? "not a number" : "infinite"));
    p.m[i] = static_cast<float>(values[i]);
  }
  return p;
}

template <class F>
auto decoded(const fs::path& path, F decode) {
  try {
    return decode(read_file(path));
  } catch (const bad_input& e) {
    std::string why = e.what(), file = path.filename().string();
    throw bad_input(why.starts_with(file) ? why : file + ": " + why);
  }
}

std::string size_text(uint32_t w, uint32_t h) {
  return std::to_string(w) + " x " + std::to_string(h);
}

/// Whether two images can show the same: their shapes differ by 2 % at most (1296 x 968 and 640 x 480 do by 0.4 %).
bool same_shape(const colour_image& a, const depth_image& b) {
  const auto wide = uint64_t{a.width} * b.height, high = uint64_t{a.height} * b.width;
  return std::max(wide, high) * 100 <= std::min(wide, high) * 102;
}

std::string number_text(float value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

} // namespace

void rgbd_options::validate() const {
  if (!(max_depth_m > 0))
    throw std::invalid_argument("max depth is " + number_text(max_depth_m) + " m, must be above 0");
  if (!(depth_scale > 0))
    throw std::invalid_argument("depth scale is " + number_text(depth_scale) + " units a metre, must be above 0");
  if (const auto fault = fault_of_session(session))
    throw std::invalid_argument(*fault);
}

rgbd_folder::rgbd_folder(fs::path where) : where_(std::move(where)) {
  std::error_code error;
  if (!fs::is_directory(where_, error))
    throw std::runtime_error("RGB-D folder " + where_.string() + (error ? ": " + error.message() : " is not a folder"));
  camera_ = read_camera(where_);
  frames_ = list_frames(where_);
}

keyframe rgbd_folder::load(const rgbd_frame& frame, const rgbd_options& how) const {
  if (frame.depth.empty())
    throw bad_input(frame.name + ".depth.png is missing");
  if (frame.colour.empty())
    throw bad_input(frame.name + ".color.jpg or .png is missing");
  if (frame.pose.empty())
    throw bad_input(frame.name + ".pose.txt is missing");
  keyframe result;
  result.world_from_camera = read_pose(frame.pose);
  auto depth = decoded(frame.depth, [](const auto& bytes) { return decode_depth(bytes); });
  auto colour = decoded(frame.colour, [](const auto& bytes) { return decode_colour(bytes); });
  // Depth and colour may differ in size: then the nearest pixel's colour is taken.
  if (!same_shape(colour, depth))
    throw bad_input(frame.colour.filename().string() + " has " + size_text(colour.width, colour.height) + " pixels, "
                    + frame.depth.filename().string() + " " + size_text(depth.width, depth.height)
                    + ": their shapes differ by more than 2 %, so they do not show the same");

  std::vector<float> x_per_z(depth.width);
  std::vector<uint32_t> colour_column(depth.width);
  for (uint32_t u = 0; u < depth.width; ++u) {
    x_per_z[u] = (static_cast<float>(u) - camera_.cx) / camera_.fx;
    colour_column[u] = static_cast<uint32_t>(uint64_t{u} * colour.width / depth.width) * 3;
  }
  auto body = std::make_shared<owned_keyframe_body>();
  size_t pixels = depth.values.size();
  body->point_data.resize(pixels * 3);
  body->colour_data.resize(pixels * 3);
  float* point = body->point_data.data();
  uint8_t* rgb = body->colour_data.data();
  const auto& m = result.world_from_camera.m;
  // The nearest whole unit: 4 m means up to 4,000 mm.
  auto farthest = std::floor(static_cast<double>(how.max_depth_m) * static_cast<double>(how.depth_scale) + 0.5);
  auto most = static_cast<uint16_t>(std::clamp(farthest, 0.0, double{no_depth - 1}));
  const float metres_per_unit = 1 / how.depth_scale;
  for (uint32_t v = 0; v < depth.height; ++v) {
    float y_per_z = (static_cast<float>(v) - camera_.cy) / camera_.fy;
    const uint16_t* row = depth.values.data() + size_t{v} * depth.width;
    const uint8_t* colours = colour.rgb.data() + (uint64_t{v} * colour.height / depth.height) * colour.width * 3;
    for (uint32_t u = 0; u < depth.width; ++u) {
      uint16_t units = row[u];
      if (units == 0 || units > most)
        continue;
      float z = static_cast<float>(units) * metres_per_unit;
      float x = x_per_z[u] * z, y = y_per_z * z;
      point[0] = m[0] * x + m[1] * y + m[2] * z + m[3];
      point[1] = m[4] * x + m[5] * y + m[6] * z + m[7];
      point[2] = m[8] * x + m[9] * y + m[10] * z + m[11];
      point += 3;
      const uint8_t* from = colours + colour_column[u];
      rgb[0] = from[0];
      rgb[1] = from[1];
      rgb[2] = from[2];
      rgb += 3;
    }
  }
  auto points = static_cast<size_t>(point - body->point_data.data());
  if (points == 0)
    throw bad_input(frame.depth.filename().string() + " has no depth above 0 and up to " + number_text(how.max_depth_m)
                    + " m, at " + number_text(how.depth_scale) + " units a metre");
  body->point_data.resize(points);
  body->colour_data.resize(points);
  // Where the image's y points up, so does the camera's, and who asks it for up would be told down. Its points stay.
  if (camera_.fy < 0)
    turn_half(result.world_from_camera);
  result.id = {frame.name, how.session};
  result.timestamp_ns = (frame.number + 1) * frame_interval_ns; // 0 would mean that it has none
  result.received_ns = system_ns();
  result.body = std::move(body);
  return result;
}

} // namespace tessera
