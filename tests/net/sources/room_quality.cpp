// How near the mesh of a scan of the built-in room is to the room's exact surface, how much of what was seen
// it covers, and that the map's laws hold for that scan.

#include "gpu/map/offline_map.hpp"
#include "gpu/map/weld.hpp"
#include "net/sources/synthetic/synthetic_scan.hpp"
#include "tests/support/mesh_distance.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

using namespace tessera;

namespace {

struct quality {
  double mean = 0, within_half = 0, p99 = 0; ///< distances of vertices: voxels; share; voxels
  double covered = 0;                        ///< share of the points without noise that have a triangle within a voxel
  size_t vertices = 0;
};

synthetic_options scan_of(uint32_t keyframes, uint32_t width, uint32_t height, float noise_m) {
  synthetic_options o;
  o.keyframes = keyframes;
  o.width = width;
  o.height = height;
  o.noise_m = noise_m;
  return o;
}

offline_map make_map(const map_settings& map, uint32_t threads, bool keep_rays) {
  offline_options o;
  o.threads = threads;
  o.keep_rays = keep_rays;
  return {map, {make_cpu_fields(map, {.threads = threads})}, o};
}

map_settings map_of(float voxel_m, uint32_t region_voxels = 64) {
  map_settings m;
  m.voxel_m = voxel_m;
  m.truncation_m = 3 * voxel_m;
  m.region_voxels = region_voxels;
  return m;
}

void offer(offline_map& field, const keyframe& frame) {
  field.offer(frame, [](const verdict& v) { REQUIRE(v.what == outcome::accepted); });
}

quality measure(const map_settings& map, const synthetic_options& options) {
  const float voxel_m = map.voxel_m;
  auto field = make_map(map, 2, false);
  const synthetic_scan scan("room", options);
  for (uint64_t i = 0; i < options.keyframes; ++i)
    offer(field, scan.make(i));
  field.finish();
  const auto surface = weld(field.meshes());
  std::vector<double> distances;
  for (size_t v = 0; v < surface.vertices(); ++v) {
    const float* p = &surface.positions[3 * v];
    distances.push_back(double{scan.distance(p[0], p[1], p[2])} / double{voxel_m});
  }
  REQUIRE(distances.size() > 1000);
  std::sort(distances.begin(), distances.end());
  const auto size = static_cast<double>(distances.size());
  quality q;
  q.mean = std::accumulate(distances.begin(), distances.end(), 0.0) / size;
  q.within_half = static_cast<double>(std::upper_bound(distances.begin(), distances.end(), 0.5) - distances.begin()) / size;
  q.p99 = distances[distances.size() * 99 / 100];
  q.vertices = distances.size();

  // What was seen: the scan without noise, every eleventh point.
  auto clean = options;
  clean.noise_m = 0;
  const synthetic_scan truth("room", clean);
  const test::mesh_distance near(surface, voxel_m);
  size_t seen = 0, covered = 0;
  for (uint64_t i = 0; i < options.keyframes; ++i) {
    const auto frame = truth.make(i);
    for (size_t p = 0; p < frame.body->size(); p += 11, ++seen)
      covered += near.is_near(&frame.body->points()[3 * p]);
  }
  q.covered = static_cast<double>(covered) / static_cast<double>(seen);
  return q;
}

std::string text_of(const quality& q) {
  return "mean " + std::to_string(q.mean) + " voxels, within half a voxel " + std::to_string(100 * q.within_half)
         + " %, 99th percentile " + std::to_string(q.p99) + " voxels, " + std::to_string(q.vertices) + " vertices; covered "
         + std::to_string(100 * q.covered) + " %";
}

} // namespace

TEST_CASE("without noise the room's mesh lies on the room's surface and covers what was seen") {
  const auto q = measure(map_of(0.05f), scan_of(40, 160, 120, 0));
  INFO(text_of(q));
  CHECK(q.vertices > 20'000);
  CHECK(q.mean <= 0.1);
  CHECK(q.within_half >= 0.99);
  CHECK(q.covered >= 0.99);
}

TEST_CASE("a wider band around surfaces leaves no curtains behind edges") {
  auto map = map_of(0.05f);
  map.truncation_m = 0.5f;
  const auto q = measure(map, scan_of(40, 160, 120, 0));
  INFO(text_of(q));
  CHECK(q.vertices > 20'000);
  CHECK(q.mean <= 0.1);
  CHECK(q.within_half >= 0.99);
  CHECK(q.covered >= 0.99);
}

TEST_CASE("noise of half a voxel moves the room's mesh by a quarter of a voxel at most, and it still covers "
          "what was seen") {
  const auto q = measure(map_of(0.02f), scan_of(40, 160, 120, 0.01f));
  INFO(text_of(q));
  CHECK(q.vertices > 200'000);
  CHECK(q.mean <= 0.25);
  CHECK(q.covered >= 0.99);
}

TEST_CASE("the room's map obeys the laws: any order, any cut, once, undo, revise") {
  const auto seed = std::random_device{}();
  std::mt19937 random(seed);
  INFO("seed " << seed);
  auto options = scan_of(12, 96, 72, 0.01f);
  options.outliers = 0.01f;
  const synthetic_scan scan("room", options);
  std::vector<keyframe> frames;
  for (uint64_t i = 0; i < options.keyframes; ++i)
    frames.push_back(scan.make(i));
  auto first = make_map(map_of(0.05f), 1, false);
  for (const auto& frame : frames)
    offer(first, frame);
  first.finish();
  const auto hash = first.stats().hash;
  const auto surface = weld(first.meshes());
  REQUIRE(surface.triangles() > 10'000);
  for (const uint32_t cut : {16u, 32u, 64u}) {
    INFO("regions of " << cut << " voxels");
    std::shuffle(frames.begin(), frames.end(), random);
    auto map = make_map(map_of(0.05f, cut), 2, true);
    for (const auto& frame : frames)
      offer(map, frame);
    map.finish();
    (void)map.meshes();
    map.offer(frames[3], [](const verdict& v) { CHECK(v.what == outcome::duplicate); });
    // Led astray, and brought back.
    map.offer(retraction{frames[0].id}, [](const verdict&) {});
    map.offer(revision{frames[1].id, frames[2].world_from_camera}, [](const verdict&) {});
    CHECK(map.stats().hash != hash);
    (void)map.meshes();
    map.offer(revision{frames[1].id, frames[1].world_from_camera}, [](const verdict&) {});
    offer(map, frames[0]);
    map.finish();
    CHECK(map.stats().hash == hash);
    const bool same = weld(map.meshes()) == surface;
    CHECK(same);
  }
}
