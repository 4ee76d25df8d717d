#include "actors/service.hpp"

#include <algorithm>
#include <cmath>

namespace tessera {

float auto_voxel_m(const keyframe& frame) {
  if (!frame.body)
    return 0;
  const auto points = frame.body->points();
  const auto& m = frame.world_from_camera.m;
  // Every so many points are enough for a median.
  const auto count = points.size() / 3;
  const auto step = std::max<size_t>(1, count / 10'000);
  std::vector<double> distances;
  for (size_t i = 0; i < count; i += step) {
    double d2 = 0;
    for (size_t a = 0; a < 3; ++a) {
      const auto d = static_cast<double>(points[3 * i + a]) - static_cast<double>(m[4 * a + 3]);
      d2 += d * d;
    }
    if (std::isfinite(d2) && d2 > 0 && d2 < 1e18)
      distances.push_back(std::sqrt(d2));
  }
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
