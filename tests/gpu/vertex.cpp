// A vertex out of the voxels about its edge: CPU and GPU share the function, so neither can tell on the other.

#include "gpu/shared/vertex.hpp"

#include <catch2/catch.hpp>

#include <array>
#include <map>
#include <tuple>

using namespace tessera;

namespace {

using place = std::array<int, 3>;

struct lanes {
  float of[3];
  float operator[](int k) const { return of[k]; }
  lanes operator+(lanes o) const { return {{of[0] + o.of[0], of[1] + o.of[1], of[2] + o.of[2]}}; }
  lanes operator-(lanes o) const { return {{of[0] - o.of[0], of[1] - o.of[1], of[2] - o.of[2]}}; }
  lanes operator+(float b) const { return {{of[0] + b, of[1] + b, of[2] + b}}; }
  lanes operator*(float b) const { return {{of[0] * b, of[1] * b, of[2] * b}}; }
  lanes operator/(float b) const { return {{of[0] / b, of[1] / b, of[2] / b}}; }
};

/// Voxels by place; those that are not there were not observed.
struct some_voxels {
  std::map<place, float> distances;
  std::array<place, 2> ends;
  std::array<lanes, 2> colours{};

  [[nodiscard]] float at(int end, int axis, int step) const {
    place p = ends[static_cast<size_t>(end)];
    p[static_cast<size_t>(axis)] += step;
    const auto found = distances.find(p);
    return found != distances.end() ? found->second : unobserved;
  }
  [[nodiscard]] float distance(int end) const { return at(end, 0, 0); }
  [[nodiscard]] float ahead(int end, int axis) const { return at(end, axis, 1); }
  [[nodiscard]] float behind(int end, int axis) const { return at(end, axis, -1); }
  [[nodiscard]] lanes colour(int end) const { return colours[static_cast<size_t>(end)]; }
};

vertex_attributes made(const some_voxels& voxels, int axis, float voxel_m = 0.5f) {
  vertex_attributes out{};
  make_vertex(voxels, voxels.ends[0][0], voxels.ends[0][1], voxels.ends[0][2], axis, voxel_m, out);
  return out;
}

} // namespace

TEST_CASE("a vertex lies where the distance is zero between the edge's ends, on each axis") {
  for (int axis = 0; axis < 3; ++axis) {
    some_voxels v{{}, {place{4, -6, 8}, place{4, -6, 8}}};
    ++v.ends[1][static_cast<size_t>(axis)];
    v.distances = {{v.ends[0], 60.f}, {v.ends[1], -20.f}};
    const auto vertex = made(v, axis);
    for (int k = 0; k < 3; ++k) {
      const auto i = static_cast<size_t>(k);
      CHECK(vertex.position[k] == 0.5f * (static_cast<float>(v.ends[0][i]) + (k == axis ? 0.75f : 0.f)));
      CHECK(vertex.normal[k] == (k == axis ? -1.f : 0.f)); // nothing else was observed: no slope across
    }
  }
}

TEST_CASE("a vertex's normal takes slopes forward, else backward, at both ends, by nearness") {
  some_voxels v{{}, {place{0, 0, 0}, place{1, 0, 0}}};
  v.distances = {{{0, 0, 0}, -1.f}, {{1, 0, 0}, 3.f}, {{0, 1, 0}, 7.f}, {{0, -1, 0}, 100.f}, // forward 8, whatever is behind
                 {{1, -1, 0}, 1.f},                                                          // backward 2
                 {{0, 0, -1}, -5.f}}; // backward 4, and none at the other end
  const auto vertex = made(v, 0);
  // A quarter of the way: slopes 4, 8 + (2 - 8) / 4 = 6.5, 4 + (0 - 4) / 4 = 3.
  const float length = std::sqrt(4.f * 4.f + 6.5f * 6.5f + 3.f * 3.f);
  CHECK(vertex.position[0] == 0.125f);
  CHECK(vertex.normal[0] == 4.f / length);
  CHECK(vertex.normal[1] == 6.5f / length);
  CHECK(vertex.normal[2] == 3.f / length);
}

TEST_CASE("a vertex's colour is mixed by nearness and rounded to the nearest") {
  some_voxels v{{{{0, 0, 0}, 1.f}, {{0, 0, 1}, -3.f}}, {place{0, 0, 0}, place{0, 0, 1}}};
  v.colours = {lanes{{0.f, 10.f, 255.f}}, lanes{{2.f, 14.f, 255.f}}};
  const auto vertex = made(v, 2);
  CHECK(int{vertex.colour[0]} == 1); // 0.5
  CHECK(int{vertex.colour[1]} == 11);
  CHECK(int{vertex.colour[2]} == 255);
}

TEST_CASE("a voxel's distance and colour are the means of what was added") {
  voxel_words sum;
  for (const auto& [distance, weight, colour] : {std::tuple{30, 2, 10u}, std::tuple{-90, 1, 21u}}) {
    const auto sample = pack_sample(distance, weight, colour, colour + 1, colour + 2);
    sum = {sum.w0 + sample.w0, sum.w1 + sample.w1, sum.w2 + sample.w2};
  }
  CHECK(mean_distance(sum.w0, sum.w1) == -10.f);
  CHECK(mean_distance(0, 0) == unobserved);
  const auto colour = mean_colour<lanes>(sum.w0, sum.w1, sum.w2);
  CHECK(colour.of[0] == 15.5f);
  CHECK(colour.of[1] == 16.5f);
  CHECK(colour.of[2] == 17.5f);
}
