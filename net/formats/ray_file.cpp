#include "net/formats/ray_file.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <ostream>

namespace tessera {

namespace {

static_assert(std::endian::native == std::endian::little, "the numbers of the file are written as they lie in memory");

/// A point of the file, as it lies there.
struct record {
  std::array<float, 6> place_and_direction{};
  std::array<uint8_t, 4> colour_and_points{};
  float quality = 0;
};
static_assert(sizeof(record) == 32);

record record_of(const ray& one, const pose& world_from_camera, double voxel_m) {
  const auto& m = world_from_camera.m;
  const auto unit = voxel_m / ray_units_per_voxel;
  const std::array<double, 3> own{one.x * unit, one.y * unit, one.z * unit};
  std::array<double, 3> to_camera{};
  double square = 0;
  record out;
  for (size_t r = 0; r < 3; ++r) {
    for (size_t c = 0; c < 3; ++c)
      to_camera[r] -= static_cast<double>(m[4 * r + c]) * own[c];
    square += to_camera[r] * to_camera[r];
    out.place_and_direction[r] = static_cast<float>(static_cast<double>(m[4 * r + 3]) - to_camera[r]);
  }
  for (size_t r = 0; r < 3; ++r)
    out.place_and_direction[3 + r] = square > 0 ? static_cast<float>(to_camera[r] / std::sqrt(square)) : 0;
  out.colour_and_points = {one.r, one.g, one.b, one.points};
  out.quality = static_cast<float>(4 * std::min<int>(one.points, 31)); // docs/field.md, "Integrate"
  return out;
}

} // namespace

void write_rays(std::ostream& out, std::span<const ray> rays, const pose& world_from_camera, float voxel_m,
                const std::string& name) {
  const auto camera = position_of(world_from_camera);
  out << "ply\nformat binary_little_endian 1.0\ncomment tessera " TESSERA_VERSION "\ncomment unit metre\ncomment colours sRGB\n"
      << "comment keyframe " << name << "\ncomment camera " << camera[0] << ' ' << camera[1] << ' ' << camera[2]
      << "\ncomment voxel_m " << voxel_m << "\nelement vertex " << rays.size() << '\n';
  for (const char* property : {"float x", "float y", "float z", "float nx", "float ny", "float nz", "uchar red", "uchar green",
                               "uchar blue", "uchar points", "float quality"})
    out << "property " << property << '\n';
  out << "end_header\n";
  for (const auto& one : rays) {
    const auto bytes
      = std::bit_cast<std::array<char, sizeof(record)>>(record_of(one, world_from_camera, static_cast<double>(voxel_m)));
    out.write(bytes.data(), bytes.size());
  }
}

} // namespace tessera
