#include "net/formats/orientation.hpp"

#include <catch2/catch.hpp>

#include <cmath>
#include <random>
#include <utility>
#include <vector>

using namespace tessera;

namespace {

std::array<float, 3> of(const direction& d) {
  return {static_cast<float>(d[0]), static_cast<float>(d[1]), static_cast<float>(d[2])};
}

direction normal(double x, double y, double z) {
  const auto size = std::sqrt(x * x + y * y + z * z);
  return {x / size, y / size, z / size};
}

quaternion normal(double x, double y, double z, double w) {
  const auto size = std::sqrt(x * x + y * y + z * z + w * w);
  return {x / size, y / size, z / size, w / size};
}

double angle(const quaternion& a, const quaternion& b) {
  double d = 0;
  for (size_t i = 0; i < 4; ++i)
    d += a[i] * b[i];
  return 2 * std::acos(std::min(1.0, std::abs(d)));
}

pose camera(const direction& x, const direction& y) {
  pose p;
  p.m = {};
  const direction z{x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]};
  for (size_t i = 0; i < 3; ++i) {
    p.m[4 * i] = static_cast<float>(x[i]);
    p.m[4 * i + 1] = static_cast<float>(y[i]);
    p.m[4 * i + 2] = static_cast<float>(z[i]);
  }
  p.m[15] = 1;
  return p;
}

} // namespace

TEST_CASE("The rotation takes up to +y, whichever way up is") {
  std::mt19937 random{7};
  std::normal_distribution<double> any;
  for (int i = 0; i < 1000; ++i) {
    const auto up = normal(any(random), any(random), any(random));
    const auto there = turned(upright(up), of(up).data());
    CHECK(there[0] == Approx(0).margin(1e-5));
    CHECK(there[1] == Approx(1).margin(1e-5));
    CHECK(there[2] == Approx(0).margin(1e-5));
  }
  CHECK(upright({0, -1, 0}) == quaternion{1, 0, 0, 0});
  CHECK(upright({0, 1, 0}) == quaternion{0, 0, 0, 1});
  const float x[]{1, 0, 0};
  CHECK(turned(upright({0, 0, 1}), x)[0] == Approx(1)); // a map with z up keeps its x axis
  const auto almost = turned(upright(normal(0.01, 1, 0.01)), x);
  CHECK(almost[0] == Approx(1).margin(0.001)); // one with y up keeps it, too
}

TEST_CASE("The rotation is what the viewer's tests have, for the same directions") {
  const auto half = std::sqrt(0.5);
  const std::vector<std::pair<direction, quaternion>> known{
    {{0, -1, 0}, {1, 0, 0, 0}},
    {{0, 0, 1}, {half, 0, 0, -half}},
    {{0, 0, -1}, {half, 0, 0, half}},
    {{1, 0, 0}, {half, half, 0, 0}},
    {{-1, 0, 0}, {half, -half, 0, 0}},
    {{0, 1, 0}, {0, 0, 0, 1}},
    {{0, 0.8, 0.6}, normal(-0.6, 0, 0, 1.8)},
    {{0.6, 0.8, 0}, normal(0, 0, 0.6, 1.8)},
    {{0, 0.28, 0.96}, normal(0.72, 0, 0, -0.96)},
  };
  for (const auto& [up, rotation] : known)
    for (size_t i = 0; i < 4; ++i)
      CHECK(upright(up)[i] == Approx(rotation[i]).margin(1e-9));
}

TEST_CASE("Small changes of up turn the map by as little, whatever convention its axes follow") {
  struct convention {
    const char* name;
    direction up;
    double lean; ///< degrees
  };
  const std::vector<convention> conventions{
    {"first camera, y down", {0, -1, 0}, 60},
    {"first camera, y up", {0, 1, 0}, 45},
    {"z up", {0, 0, 1}, 20},
    {"z down", {0, 0, -1}, 20},
    {"x up", {1, 0, 0}, 20},
    {"x down", {-1, 0, 0}, 20},
  };
  std::mt19937 random{7};
  std::normal_distribution<double> any;
  const auto stepped = [&](const direction& from, double by) {
    return normal(from[0] + by * any(random), from[1] + by * any(random), from[2] + by * any(random));
  };
  for (const auto& [name, start, lean] : conventions) {
    INFO(name);
    auto up = start;
    double worst = 0;
    for (int i = 0; i < 5000; ++i) {
      const auto other = stepped(up, 0.01);
      const auto along = other[0] * start[0] + other[1] * start[1] + other[2] * start[2];
      if (along < std::cos(lean * M_PI / 180))
        continue;
      const direction across{up[1] * other[2] - up[2] * other[1], up[2] * other[0] - up[0] * other[2],
                             up[0] * other[1] - up[1] * other[0]};
      const auto moved = std::asin(std::sqrt(across[0] * across[0] + across[1] * across[1] + across[2] * across[2]));
      worst = std::max(worst, angle(upright(up), upright(other)) / moved);
      up = other;
    }
    CHECK(worst > 0.9);
    CHECK(worst < 2);
  }
}

TEST_CASE("Up comes from the cameras, level if they turn enough to tell") {
  up_estimate seen;
  CHECK(seen.up() == camera_up);
  // One that looks down by 30 degrees: its own up is all that there is.
  const auto tilted = camera({1, 0, 0}, {0, std::cos(0.5), -std::sin(0.5)});
  seen.add(tilted);
  CHECK(seen.up()[1] == Approx(-std::cos(0.5)));
  // Many that look down as much, all around: the plane of their x axes tells.
  for (int i = 1; i < 16; ++i) {
    const auto a = 2 * M_PI * i / 16;
    const direction x{std::cos(a), 0, std::sin(a)};
    const direction y{std::sin(0.5) * std::sin(a), std::cos(0.5), -std::sin(0.5) * std::cos(a)};
    seen.add(camera(x, y));
  }
  CHECK(seen.up()[1] == Approx(-1).margin(1e-6));
  for (int i = 1; i < 16; ++i) {
    const auto a = 2 * M_PI * i / 16;
    seen.remove(
      camera({std::cos(a), 0, std::sin(a)}, {std::sin(0.5) * std::sin(a), std::cos(0.5), -std::sin(0.5) * std::cos(a)}));
  }
  CHECK(seen.up()[1] == Approx(-std::cos(0.5)).margin(1e-6));
  seen.remove(tilted);
  CHECK(seen.up() == camera_up);
}

TEST_CASE("A camera counts the same for up whatever its pose's scale is") {
  up_estimate one, other;
  for (int i = 0; i < 16; ++i) {
    const auto a = 2 * M_PI * i / 16;
    auto at = camera({std::cos(a), 0, std::sin(a)}, {std::sin(0.5) * std::sin(a), std::cos(0.5), -std::sin(0.5) * std::cos(a)});
    one.add(at);
    for (size_t k = 0; k < 12; ++k)
      at.m[k] *= i < 3 ? 5.f : 0.5f;
    other.add(at);
  }
  const auto want = one.up(), found = other.up();
  for (size_t k = 0; k < 3; ++k)
    CHECK(found[k] == Approx(want[k]).margin(1e-6));
}

TEST_CASE("Axes have names") {
  CHECK(axis_named("z") == direction{0, 0, 1});
  CHECK(axis_named("+x") == direction{1, 0, 0});
  CHECK(axis_named("-y") == direction{0, -1, 0});
  for (const char* bad : {"", "-", "w", "xx", "auto", "--y", "Y"})
    CHECK_FALSE(axis_named(bad));
}
