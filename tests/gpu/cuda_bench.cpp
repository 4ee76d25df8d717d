// Not a test: how long a keyframe takes on a GPU. Run as `test_gpu_cuda "[bench]"`; skipped where there is none.

#include "cuda_world.hpp"

#include <chrono>
#include <cstdio>
#include <latch>
#include <map>

using namespace tessera;
using namespace tessera::test;

namespace {

using seconds = std::chrono::duration<double>;
double now() {
  return seconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median_ms(std::vector<double> times_s) {
  std::sort(times_s.begin(), times_s.end());
  return times_s.empty() ? 0 : times_s[times_s.size() / 2] * 1000;
}

void bench(const device_under_test& device, float voxel_m) {
  constexpr int keyframe_count = 60, warm_up = 10, points = 273'000;
  mapping map = map_of(64);
  map.voxel_m = voxel_m;
  map.truncation_m = 3 * voxel_m;
  cuda::field_options options;
  options.pool_bytes = uint64_t{6} << 30;
  const auto fields = device.open(map, options);
  std::mt19937 random(1);
  std::vector<double> rays_s, partition_s, integrate_s, extract_s;
  size_t rays_made = 0, regions = 0, triangles = 0;
  for (int i = 0; i < keyframe_count; ++i) {
    pose at{}; // a camera that moves along the wall
    at.m[3] = 0.01f * static_cast<float>(i);
    const auto frame = wall(at, random, points, false);
    ray_counts counts;
    const double begin = now();
    const auto rays = rays_of(*fields, frame.body, at, counts);
    const double made = now();
    uint64_t beyond = 0;
    const auto cut = partition_rays(map, rays, at, beyond);
    const double cut_at = now();
    std::latch integrated(static_cast<std::ptrdiff_t>(cut.parts.size())), meshed(static_cast<std::ptrdiff_t>(cut.parts.size()));
    std::atomic<size_t> failed{0};
    for (const auto& p : cut.parts)
      fields->integrate(p.region, {{cut.batch, p.first, p.count, at, 1, 0, 0}}, [&](const std::exception_ptr& e) {
        failed += e != nullptr;
        integrated.count_down();
      });
    integrated.wait();
    const double added = now();
    std::atomic<size_t> corners{0};
    for (const auto& p : cut.parts)
      fields->extract(p.region, [&](const std::shared_ptr<const mesh>& m, const std::exception_ptr& e) {
        failed += e != nullptr;
        corners += m ? m->triangles() : 0;
        meshed.count_down();
      });
    meshed.wait();
    const double end = now();
    REQUIRE(failed == 0); // the time of what was refused tells nothing
    if (i < warm_up)
      continue;
    rays_s.push_back(made - begin);
    partition_s.push_back(cut_at - made);
    integrate_s.push_back(added - cut_at);
    extract_s.push_back(end - added);
    rays_made = rays.size();
    regions = cut.parts.size();
    triangles = corners;
  }
  std::printf("%s, voxel %.0f mm: rays %.3f, partition (CPU) %.3f, integrate %.3f, extract and download %.3f ms, medians of %d; "
              "last keyframe: %zu rays, %zu regions, %zu triangles\n",
              device.name.c_str(), static_cast<double>(voxel_m) * 1000, median_ms(rays_s), median_ms(partition_s),
              median_ms(integrate_s), median_ms(extract_s), keyframe_count - warm_up, rays_made, regions, triangles);
}

} // namespace

TEST_CASE("how long a keyframe takes", "[.][bench]") {
  bool any = false;
  for (const auto& device : devices())
    if (device.name.find("emulated") == std::string::npos) {
      any = true;
      for (const float voxel_m : {0.05f, 0.02f, 0.01f})
        bench(device, voxel_m);
    }
  if (!any)
    WARN("there is no GPU to measure: skipped");
}
