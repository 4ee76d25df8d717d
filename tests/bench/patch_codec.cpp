// Bytes and time of patches: bench_patch_codec [SOURCE] [VOXEL_M] [REGION_VOXELS] [THREADS]. One line for each fineness
// of the grid; with THREADS, one for as many threads that encode all regions side by side, as a service's do. Memory is that
// of a service, from jemalloc; with MALLOC_CONF=... it has other settings.

#include "net/formats/patch_codec.hpp"
#include "gpu/map/offline_map.hpp"
#include "net/sources/source_table.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <thread>

using namespace tessera;

namespace {

struct cost {
  double encode_s = 0, decode_s = 0;
  uint64_t bytes = 0, triangles = 0;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

cost measure(const std::vector<region_mesh>& regions, float quantum_m) {
  cost best;
  for (int round = 0; round < 3; ++round) {
    cost now;
    for (const auto& region : regions) {
      auto start = std::chrono::steady_clock::now();
      auto p = encode_patch(region, quantum_m, 0, 0);
      now.encode_s += seconds_since(start);
      start = std::chrono::steady_clock::now();
      auto d = decode_patch(*p.frame);
      now.decode_s += seconds_since(start);
      now.bytes += p.frame->size();
      now.triangles += d.indices.size() / 3;
    }
    if (round == 0 || now.encode_s < best.encode_s)
      best = now;
  }
  return best;
}

uint64_t page_faults() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  return static_cast<uint64_t>(used.ru_minflt);
}

/// Each of the threads encodes all regions.
void side_by_side(const std::vector<region_mesh>& regions, float quantum_m, uint32_t threads) {
  constexpr int rounds = 5;
  std::vector<double> took_s(threads);
  uint64_t triangles = 0;
  for (const auto& region : regions)
    triangles += region.surface->triangles();
  const auto faults = page_faults();
  {
    std::vector<std::jthread> all;
    for (auto& seconds : took_s)
      all.emplace_back([&] {
        const auto start = std::chrono::steady_clock::now();
        for (int round = 0; round < rounds; ++round)
          for (const auto& region : regions)
            encode_patch(region, quantum_m, 0, 0);
        seconds = seconds_since(start);
      });
  }
  const auto n = std::max<double>(1, static_cast<double>(triangles * rounds));
  std::printf("%u threads: encode %.2f ms per 10,000 triangles in the slowest, %.1f page faults a patch\n", threads,
              *std::max_element(took_s.begin(), took_s.end()) * 1e7 / n,
              static_cast<double>(page_faults() - faults) / static_cast<double>(regions.size() * rounds * threads));
}

} // namespace

int main(int argc, char** argv) try {
  std::string uri = argc > 1 ? argv[1] : "synthetic:room";
  const char* shared = std::getenv("TESSERA_SHARED");
  const auto recording = std::filesystem::path(shared != nullptr ? shared : "../shared") / "data" / "rgbd-room";
  if (argc <= 1 && std::filesystem::exists(recording))
    uri = "rgbd:" + recording.string();
  map_settings map;
  map.voxel_m = argc > 2 ? static_cast<float>(std::atof(argv[2])) : 0.02f;
  map.truncation_m = 3 * map.voxel_m;
  map.region_voxels = argc > 3 ? static_cast<uint32_t>(std::atoi(argv[3])) : 64;
  map.validate();
  offline_map field{map, {make_cpu_fields(map, {.threads = 0})}, {}};
  source_options input;
  input.sequence.limit = 100;
  make_source(uri, input)->run(field, {});
  field.finish();
  auto regions = field.meshes();
  size_t largest = 0;
  for (const auto& r : regions)
    largest = std::max(largest, r.surface->triangles());
  std::printf("%s at %g m: %zu regions of %u voxels, the largest of %zu triangles\n", uri.c_str(),
              static_cast<double>(map.voxel_m), regions.size(), map.region_voxels, largest);
  for (float steps : {16.f, 32.f, 64.f}) {
    auto c = measure(regions, map.voxel_m / steps);
    auto n = std::max<double>(1, static_cast<double>(c.triangles));
    std::printf("grid of voxel/%-2.0f%s  %.3f bytes/triangle  encode %.2f ms  decode %.2f ms per 10,000 triangles\n",
                static_cast<double>(steps), steps == patch_steps_per_voxel ? " (used)" : "       ",
                static_cast<double>(c.bytes) / n, c.encode_s * 1e7 / n, c.decode_s * 1e7 / n);
  }
  if (argc > 4) {
    const auto threads = static_cast<uint32_t>(std::clamp(std::atoi(argv[4]), 1, 256));
    side_by_side(regions, patch_quantum_m(map.voxel_m), threads);
  }
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
