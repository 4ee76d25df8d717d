// That the surface closes across regions, in the map and after the patches of the regions were encoded and
// decoded.

#include "gpu/map/offline_map.hpp"
#include "gpu/map/weld.hpp"
#include "net/formats/cells_codec.hpp"
#include "net/sources/synthetic/synthetic_scan.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <vector>

using namespace tessera;

namespace {

constexpr float voxel_m = 0.05f;
constexpr float quantum = patch_quantum_m(voxel_m);
/// How far the room is moved, so that one region of 256 voxels holds all of it.
constexpr float shift_m = 128 * voxel_m;
constexpr auto steps_per_voxel = static_cast<int32_t>(patch_steps_per_voxel);

using point = std::array<int32_t, 3>; ///< on the patches' grid
using side = std::pair<point, point>;

/// How often triangles run along each side one way, less how often the other way; sides where that is 0 are
/// left out. What is left is where the surface ends, whatever points the grid has joined.
class outline {
public:
  void add(point a, point b) {
    if (a == b)
      return;
    int way = 1;
    if (b < a) {
      std::swap(a, b);
      way = -1;
    }
    const auto at = sides_.try_emplace({a, b}, 0).first;
    if ((at->second += way) == 0)
      sides_.erase(at);
  }
  /// Sides that lie in a face between two regions.
  [[nodiscard]] size_t on_faces(uint32_t region_voxels) const {
    const auto edge = static_cast<int32_t>(region_voxels) * steps_per_voxel;
    return static_cast<size_t>(std::count_if(sides_.begin(), sides_.end(), [&](const auto& s) {
      const auto& [p, q] = s.first;
      for (size_t i = 0; i < 3; ++i)
        if (p[i] % edge == 0 && p[i] == q[i])
          return true;
      return false;
    }));
  }
  [[nodiscard]] size_t size() const { return sides_.size(); }
  friend bool operator==(const outline&, const outline&) = default;

private:
  std::map<side, int> sides_;
};

bool has_no_area(const point& a, const point& b, const point& c) {
  std::array<int64_t, 3> u{}, v{};
  for (size_t i = 0; i < 3; ++i) {
    u[i] = int64_t{b[i]} - a[i];
    v[i] = int64_t{c[i]} - a[i];
  }
  return u[1] * v[2] == u[2] * v[1] && u[2] * v[0] == u[0] * v[2] && u[0] * v[1] == u[1] * v[0];
}

template <class PointOf>
void add_triangles(outline& to, const std::vector<uint32_t>& indices, PointOf point_of) {
  for (size_t i = 0; i < indices.size(); i += 3)
    for (size_t k = 0; k < 3; ++k)
      to.add(point_of(indices[i + k]), point_of(indices[i + (k + 1) % 3]));
}

outline outline_of(const mesh& m) {
  outline out;
  const auto places = grid_places(m, quantum);
  add_triangles(out, m.indices, [&](uint32_t v) { return point{places[3 * v], places[3 * v + 1], places[3 * v + 2]}; });
  return out;
}

/// A scan of the room, moved so that one region of 256 voxels holds it.
std::vector<keyframe> scan_room() {
  synthetic_options options;
  options.keyframes = 10;
  options.width = 128;
  options.height = 96;
  options.noise_m = 0.005f;
  const synthetic_scan scan("room", options);
  std::vector<keyframe> out;
  for (uint64_t i = 0; i < options.keyframes; ++i) {
    auto frame = scan.make(i);
    auto body = std::make_shared<owned_keyframe_body>();
    body->point_data.assign(frame.body->points().begin(), frame.body->points().end());
    body->colour_data.assign(frame.body->colours().begin(), frame.body->colours().end());
    for (float& x : body->point_data)
      x += shift_m;
    for (const size_t axis : {3, 7, 11})
      frame.world_from_camera.m[axis] += shift_m;
    frame.body = std::move(body);
    out.push_back(std::move(frame));
  }
  return out;
}

std::vector<region_mesh> meshes_of(const std::vector<keyframe>& frames, uint32_t region_voxels) {
  map_settings m;
  m.voxel_m = voxel_m;
  m.truncation_m = 3 * voxel_m;
  m.region_voxels = region_voxels;
  offline_map map(m, {make_cpu_fields(m, {.threads = 0})}, {});
  for (const auto& frame : frames)
    map.offer(frame, [](const verdict& v) { REQUIRE(v.what == outcome::accepted); });
  map.finish();
  return map.meshes();
}

} // namespace

TEST_CASE("the surface closes at every border between regions, also in what clients decode") {
  const auto frames = scan_room();
  const auto uncut = meshes_of(frames, 256);
  REQUIRE(uncut.size() == 1);
  REQUIRE(uncut[0].surface->triangles() > 20'000);
  const auto want = outline_of(*uncut[0].surface);
  REQUIRE(want.size() > 100); // a few keyframes leave parts of the room unseen
  for (const uint32_t cut : {16u, 32u, 64u}) {
    INFO("regions of " << cut << " voxels");
    const auto parts = meshes_of(frames, cut);
    CHECK(parts.size() > 5);
    // Cutting adds no end of the surface anywhere.
    const bool same_mesh = weld(parts) == weld(uncut);
    CHECK(same_mesh);
    outline after;
    std::map<std::array<point, 3>, int> between; // triangles, by their places
    size_t triangles = 0, alone = 0, flat = 0, twice = 0;
    for (const auto& part : parts) {
      alone += outline_of(*part.surface).on_faces(cut);
      const auto decoded = decode_patch(*encode_patch(part, quantum, 0, 0).frame);
      triangles += decoded.indices.size() / 3;
      const auto cells = cells_of(part, voxel_m, static_cast<int32_t>(cut));
      REQUIRE(cells.has_value());
      const auto again = triangles_of(decode_cells(*encode_cells(*cells, 0, 0).frame, static_cast<int32_t>(cut)));
      const bool same_cells = again.indices == part.surface->indices && again.places == grid_places(*part.surface, quantum);
      CHECK(same_cells);
      const auto point_of = [&](uint32_t v) {
        return point{decoded.positions[3 * v], decoded.positions[3 * v + 1], decoded.positions[3 * v + 2]};
      };
      add_triangles(after, decoded.indices, point_of);
      for (size_t i = 0; i < decoded.indices.size(); i += 3) {
        std::array<point, 3> places{};
        for (size_t k = 0; k < 3; ++k)
          places[k] = point_of(decoded.indices[i + k]);
        std::sort(places.begin(), places.end());
        twice += ++between[places] > 1;
      }
      for (size_t i = 0; i < decoded.indices.size(); i += 3)
        flat += has_no_area(point_of(decoded.indices[i]), point_of(decoded.indices[i + 1]), point_of(decoded.indices[i + 2]));
    }
    CHECK(triangles == uncut[0].surface->triangles()); // the grid makes none flat
    CHECK(flat == 0);
    CHECK(twice == 0);
    CHECK(alone > 500); // each region by itself does end at its borders
    CHECK(after.on_faces(cut) == want.on_faces(cut));
    const bool same_outline = after == want;
    CHECK(same_outline);
  }
}
