#include "net/formats/orientation.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

namespace tessera {

namespace {

using matrix = std::array<double, 9>;

double dot(const direction& a, const direction& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

double length(const direction& a) {
  return std::sqrt(dot(a, a));
}

direction scaled(const direction& a, double by) {
  return {a[0] * by, a[1] * by, a[2] * by};
}

/// Eigenvalues of a symmetric matrix in ascending order, and the unit eigenvector of the least; by Jacobi rotations.
std::pair<std::array<double, 3>, direction> least_axis(matrix a) {
  matrix v{1, 0, 0, 0, 1, 0, 0, 0, 1};
  constexpr std::array<std::pair<size_t, size_t>, 3> planes{{{0, 1}, {0, 2}, {1, 2}}};
  for (int sweep = 0; sweep < 12; ++sweep)
    for (const auto& [p, q] : planes) {
      const auto off = a[3 * p + q];
      if (std::abs(off) < 1e-15)
        continue;
      const auto theta = (a[4 * q] - a[4 * p]) / (2 * off);
      const auto t = (theta >= 0 ? 1 : -1) / (std::abs(theta) + std::sqrt(theta * theta + 1));
      const auto c = 1 / std::sqrt(t * t + 1), s = t * c;
      const auto turn = [c, s](double& x, double& y) { std::tie(x, y) = std::pair{c * x - s * y, s * x + c * y}; };
      for (size_t k = 0; k < 3; ++k)
        turn(a[3 * k + p], a[3 * k + q]);
      for (size_t k = 0; k < 3; ++k)
        turn(a[3 * p + k], a[3 * q + k]);
      for (size_t k = 0; k < 3; ++k)
        turn(v[3 * k + p], v[3 * k + q]);
    }
  std::array<size_t, 3> order{0, 1, 2};
  std::sort(order.begin(), order.end(), [&](size_t i, size_t j) { return a[4 * i] < a[4 * j]; });
  direction least{v[order[0]], v[3 + order[0]], v[6 + order[0]]};
  return {{a[4 * order[0]], a[4 * order[1]], a[4 * order[2]]}, scaled(least, 1 / length(least))};
}

} // namespace

void up_estimate::count(const pose& p, int sign) {
  const auto scale = std::sqrt(squared_scale(p));
  const direction x{p.m[0] / scale, p.m[4] / scale, p.m[8] / scale}, y{p.m[1] / scale, p.m[5] / scale, p.m[9] / scale};
  cameras_ += sign;
  for (size_t i = 0; i < 3; ++i) {
    up_[i] -= sign * y[i];
    for (size_t j = 0; j < 3; ++j)
      spread_[3 * i + j] += sign * x[i] * x[j];
  }
}

direction up_estimate::up() const {
  if (cameras_ <= 0 || length(up_) < 1e-9)
    return camera_up;
  const auto mean = scaled(up_, 1 / length(up_));
  const auto [values, level] = least_axis(spread_);
  const auto along = dot(level, mean);
  const auto is_clear = values[1] > 0.02 * static_cast<double>(cameras_) && values[0] < 0.2 * values[1];
  return is_clear && std::abs(along) > 0.5 ? scaled(level, along > 0 ? 1 : -1) : mean;
}

quaternion upright(const direction& up) {
  // Two rules, since no single one is smooth at every up: each has one direction where it cannot be, the other's home.
  const quaternion turn = up[1] > 0.5 ? quaternion{-up[2], 0, up[0], 1 + up[1]} : quaternion{1 - up[1], up[0], 0, -up[2]};
  const auto size = std::sqrt(turn[0] * turn[0] + turn[1] * turn[1] + turn[2] * turn[2] + turn[3] * turn[3]);
  return {turn[0] / size, turn[1] / size, turn[2] / size, turn[3] / size};
}

std::array<float, 3> turned(const quaternion& by, const float* xyz) {
  const auto [a, b, c, w] = by;
  const double x = xyz[0], y = xyz[1], z = xyz[2];
  // v + 2 w (q x v) + 2 q x (q x v)
  const double tx = 2 * (b * z - c * y), ty = 2 * (c * x - a * z), tz = 2 * (a * y - b * x);
  return {static_cast<float>(x + w * tx + b * tz - c * ty), static_cast<float>(y + w * ty + c * tx - a * tz),
          static_cast<float>(z + w * tz + a * ty - b * tx)};
}

std::optional<direction> axis_named(std::string_view name) {
  const auto is_signed = name.starts_with('-') || name.starts_with('+');
  const auto letter = name.substr(is_signed ? 1 : 0);
  if (letter != "x" && letter != "y" && letter != "z")
    return std::nullopt;
  direction axis{};
  axis[static_cast<size_t>(letter.front() - 'x')] = name.front() == '-' ? -1 : 1;
  return axis;
}

} // namespace tessera
