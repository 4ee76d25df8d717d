#include "actors/intake/voxel_size.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace tessera {

namespace {

/// Distances from the camera of every `step`-th point, of those that count.
std::vector<double> distances_of(const keyframe& frame, const voxel_size_limits& limits, size_t step) {
  const auto points = frame.body->points();
  const auto confidence = frame.body->confidence();
  const auto& m = frame.world_from_camera.m;
  const auto scale = std::sqrt(squared_scale(frame.world_from_camera));
  std::vector<double> out;
  for (size_t i = 0; i < points.size() / 3; i += step) {
    double d2 = 0;
    for (size_t a = 0; a < 3; ++a) {
      const auto d = static_cast<double>(points[3 * i + a]) - static_cast<double>(m[4 * a + 3]);
      d2 += d * d;
    }
    const auto d = std::sqrt(d2), own = d / scale;
    if (!(d > 0 && d < 1e9 && own >= static_cast<double>(limits.min_range_m) && own <= static_cast<double>(limits.max_range_m)))
      continue;
    if (!confidence.empty() && !(confidence[i] >= limits.min_confidence))
      continue;
    out.push_back(d);
  }
  return out;
}

} // namespace

float auto_voxel_m(const keyframe& frame, const voxel_size_limits& limits) {
  if (!frame.body)
    return 0;
  // A sample is enough for a median, unless hardly any points count.
  auto distances = distances_of(frame, limits, std::max<size_t>(1, frame.body->size() / 10'000));
  if (distances.empty())
    distances = distances_of(frame, limits, 1);
  if (distances.empty())
    return 0;
  auto middle = distances.begin() + static_cast<std::ptrdiff_t>(distances.size() / 2);
  std::nth_element(distances.begin(), middle, distances.end());
  const auto wanted = *middle / 100;
  const auto decade = std::pow(10.0, std::floor(std::log10(wanted)));
  double best = decade;
  for (auto candidate : {1.0, 2.0, 5.0, 10.0})
    if (std::abs(std::log(candidate * decade / wanted)) < std::abs(std::log(best / wanted)))
      best = candidate * decade;
  return static_cast<float>(best);
}

} // namespace tessera
