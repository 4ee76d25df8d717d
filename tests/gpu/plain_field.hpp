#pragma once
// The field as docs/field.md describes it, written for clearness alone and without the code of gpu/shared:
// what devices must agree with.

#include "gpu/map_settings.hpp"
#include "messages/map.hpp"
#include "messages/ray.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

namespace tessera::test {

using place = std::array<int32_t, 3>;

class plain_field {
public:
  explicit plain_field(const map_settings& map) : map_(map) {}

  void add(std::span<const ray> rays, const pose& world_from_camera, int sign = 1) {
    for (const ray& r : rays)
      add(r, world_from_camera.m, static_cast<uint64_t>(static_cast<int64_t>(sign)));
  }

  [[nodiscard]] bool observed(const place& v) const { return words(v)[0] % (1 << 24) != 0; }
  [[nodiscard]] bool inside(const place& v) const { return words(v)[0] >> 63 != 0; }
  /// Mean distance; only of observed voxels.
  [[nodiscard]] float distance(const place& v) const {
    const auto w = words(v);
    return static_cast<float>(static_cast<int64_t>(w[0]) >> 24) / static_cast<float>(static_cast<uint32_t>(w[1]));
  }
  /// Whether all corners of the cell are observed.
  [[nodiscard]] bool is_whole(const place& cell) const {
    for (int c = 0; c < 8; ++c)
      if (!observed(corner(cell, c)))
        return false;
    return true;
  }
  [[nodiscard]] static place corner(const place& cell, int c) {
    return {cell[0] + (c & 1), cell[1] + (c >> 1 & 1), cell[2] + (c >> 2)};
  }

  [[nodiscard]] map_hash hash() const {
    const auto mix = [](uint64_t x) {
      x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
      x = (x ^ x >> 27) * 0x94d049bb133111ebu;
      return x ^ x >> 31;
    };
    map_hash out;
    for (const auto& voxel : voxels_) {
      const auto& v = voxel.first;
      const auto& w = voxel.second;
      if (w == std::array<uint64_t, 3>{})
        continue;
      uint64_t at = 0;
      for (size_t i = 0; i < 3; ++i)
        at |= static_cast<uint64_t>(static_cast<uint32_t>(v[i]) % (1 << 21)) << 21 * i;
      const auto lane = [&](uint64_t seed) {
        uint64_t h = mix(at + seed);
        h = mix(h ^ w[0]) + seed;
        h = mix(h ^ w[1]) + seed;
        return mix(h ^ w[2]);
      };
      out += {lane(0x9e3779b97f4a7c15u), lane(0xc2b2ae3d27d4eb4fu)};
    }
    return out;
  }

  /// Every voxel that was ever written.
  [[nodiscard]] const std::map<place, std::array<uint64_t, 3>>& voxels() const { return voxels_; }

private:
  [[nodiscard]] std::array<uint64_t, 3> words(const place& v) const {
    const auto at = voxels_.find(v);
    return at != voxels_.end() ? at->second : std::array<uint64_t, 3>{};
  }

  void add(const ray& r, const std::array<float, 16>& m, uint64_t sign) {
    const double voxel = map_.voxel_m, truncation = static_cast<double>(map_.truncation_m) / voxel;
    const double p[3] = {r.x / 256.0, r.y / 256.0, r.z / 256.0};
    double d[3], e[3];
    for (size_t i = 0; i < 3; ++i) {
      d[i] = double{m[4 * i]} * p[0] + double{m[4 * i + 1]} * p[1] + double{m[4 * i + 2]} * p[2];
      e[i] = d[i] + double{m[4 * i + 3]} / voxel;
    }
    const double length = std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    if (!(length > 0.001) || std::any_of(e, e + 3, [](double x) { return std::abs(x) >= (1 << 19) - 64; }))
      return;
    for (double& x : d)
      x /= length;
    size_t a = 2;
    if (std::abs(d[0]) >= std::abs(d[1]) && std::abs(d[0]) >= std::abs(d[2]))
      a = 0;
    else if (std::abs(d[1]) >= std::abs(d[2]))
      a = 1;
    const size_t b = a == 0 ? 1 : 0, c = a == 2 ? 1 : 2;
    const auto rounded = [](double x) { return static_cast<int64_t>(std::floor(x + 0.5)); };
    int64_t end[3], direction[3];
    for (size_t i = 0; i < 3; ++i) {
      end[i] = rounded(e[i] * 256);
      direction[i] = rounded(d[i] * (255 / truncation * 1024));
    }
    const int64_t slope_b = rounded(d[b] / d[a] * 65536), slope_c = rounded(d[c] / d[a] * 65536);

    // The band, and how weights fall off in it.
    const double front = std::min(truncation, length), reach = std::min(truncation, 1.875);
    const double low = d[a] > 0 ? front * d[a] : reach * -d[a], high = d[a] > 0 ? reach * d[a] : front * -d[a];
    const auto first = static_cast<int64_t>(std::ceil(e[a] - low)), last = static_cast<int64_t>(std::floor(e[a] + high));
    const auto units = [&](double voxels) { return static_cast<int64_t>(std::floor(255 / truncation * voxels)); };
    const int64_t behind = units(reach), fall_front = 65536 / (255 - units(0.5)),
                  fall_behind = 65536 / std::max<int64_t>(behind - units(1), 1);
    const auto part_of = [&](int64_t distance) {
      const int64_t part = std::min({int64_t{256}, (255 - distance) * fall_front >> 8, (behind + distance) * fall_behind >> 8});
      return std::max<int64_t>(part, 0);
    };

    for (int64_t k = first; k <= last; ++k) {
      const int64_t along = k * 256 - end[a];
      const int64_t pb = end[b] * 256 + (along * slope_b >> 8), pc = end[c] * 256 + (along * slope_c >> 8);
      for (int64_t j = 0; j < 2; ++j)
        for (int64_t i = 0; i < 2; ++i) {
          const int64_t fb = pb >> 12 & 15, fc = pc >> 12 & 15, vb = (pb >> 16) + i, vc = (pc >> 16) + j;
          const int64_t share = (i == 0 ? 16 - fb : fb) * (j == 0 ? 16 - fc : fc);
          const int64_t scaled = -direction[a] * along + direction[b] * (end[b] - vb * 256) + direction[c] * (end[c] - vc * 256);
          const int64_t distance = std::clamp<int64_t>((scaled + (1 << 17)) >> 18, -255, 255);
          const int64_t weight
            = share <= 16 ? 0 : (std::min<int64_t>(r.points, 31) * 4 * share * part_of(distance) + 65535) >> 16;
          if (weight == 0)
            continue;
          place v{};
          v[a] = static_cast<int32_t>(k);
          v[b] = static_cast<int32_t>(vb);
          v[c] = static_cast<int32_t>(vc);
          auto& w = voxels_[v];
          w[0] += sign * ((static_cast<uint64_t>(distance * weight) << 24) + 1);
          w[1] += sign * ((uint64_t{r.r} << 32) + static_cast<uint64_t>(weight));
          w[2] += sign * ((uint64_t{r.b} << 32) + r.g);
        }
    }
  }

  map_settings map_;
  std::map<place, std::array<uint64_t, 3>> voxels_;
};

} // namespace tessera::test
