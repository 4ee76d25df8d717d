#include "gpu/cuda/device/check_device.hpp"

#include "gpu/rays.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <tuple>

namespace tessera::cuda {

namespace {

/// A wavy wall before a camera that stands askew, in voxels of the map, with some points that do not count. More points than are
/// copied at once, several in a cell, in several regions.
std::shared_ptr<const keyframe_body> make_wall(const map_settings& map, const pose& at) {
  constexpr int edge = 272;
  auto body = std::make_shared<owned_keyframe_body>();
  for (int i = 0; i < edge * edge; ++i) {
    const auto u = static_cast<float>(i % edge), v = static_cast<float>(i / edge);
    const float seen[3] = {(u - edge / 2.f) * 0.4f * map.voxel_m, (v - edge / 2.f) * 0.4f * map.voxel_m,
                           (60.f + 9.f * std::sin(u * 0.05f) + 5.f * std::cos(v * 0.09f)) * map.voxel_m};
    for (size_t r = 0; r < 3; ++r) {
      const float world = at.m[4 * r] * seen[0] + at.m[4 * r + 1] * seen[1] + at.m[4 * r + 2] * seen[2] + at.m[4 * r + 3];
      body->point_data.push_back(i % 997 == 0 ? std::nanf("") : world);
    }
    for (int k = 0; k < 3; ++k)
      body->colour_data.push_back(static_cast<uint8_t>((i * (k + 3) + i / edge * 7) & 255));
  }
  return body;
}

std::vector<ray> in_order(std::vector<ray> rays) {
  const auto key = [](const ray& r) { return std::tuple(r.x, r.y, r.z, r.r, r.g, r.b, r.points); };
  std::sort(rays.begin(), rays.end(), [&](const ray& a, const ray& b) { return key(a) < key(b); });
  return rays;
}

[[noreturn]] void differ(const std::string& what) {
  throw std::runtime_error("its " + what
                           + " are not those of the CPU, so it must not be used; please report its name and driver");
}

} // namespace

void check_device(async_fields& device, const map_settings& map) {
  constexpr float c = 0.8f, s = 0.6f; // a rotation about y, exactly one
  const pose at{{c, 0, s, 3.7f * map.voxel_m, 0, 1, 0, -11.3f * map.voxel_m, -s, 0, c, 5.1f * map.voxel_m, 0, 0, 0, 1}};
  const auto body = make_wall(map, at);
  ray_counts counts;
  const ray_batch rays{std::make_shared<const std::vector<ray>>(make_rays(map, *body, at, counts))};
  const auto host = make_cpu_fields(map, {.threads = 0});
  std::vector<region_key> regions;
  for (const bool pinned : {false, true}) {
    const auto report = take_and_wait(
      device, {.body = pinned ? device.pin(*body) : body, .world_from_camera = at, .keep_rays = true, .mesh = true});
    regions = take_and_wait(*host, {.rays = rays, .world_from_camera = at}).regions;
    if (in_order(report.kept) != in_order(*rays.rays) || report.counts.valid != counts.valid)
      differ("rays");
    for (const region_key region : regions) {
      if (stats_and_wait(device, region).hash != stats_and_wait(*host, region).hash)
        differ("voxels");
      if (*extract_and_wait(device, region) != *extract_and_wait(*host, region))
        differ("triangles");
    }
    if (report.regions != regions)
      differ("regions");
  }
  for (int undo = 0; undo < 2; ++undo)
    take_and_wait(device, {.rays = rays, .world_from_camera = at, .sign = -1});
  for (const region_key region : regions) {
    if (stats_and_wait(device, region).hash != map_hash{})
      differ("voxels after undo");
    drop_and_wait(device, region);
  }
}

} // namespace tessera::cuda
