#include "gpu/backend.hpp"
#include "gpu/cpu/clones.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace tessera {

namespace {

constexpr size_t batch_size = 512;

/// Reached cells lie within +-2^20 voxels of the camera on each axis.
constexpr float cell_limit = static_cast<float>(1 << 20);

struct transform {
  float r[9]; ///< camera_from_world rotation
  float t[3]; ///< camera in the world
  float per_voxel;
  float min2, max2; ///< squared ranges
};

/// One batch of points, axis by axis: 1/256 voxel in the camera's frame, squared range, largest coordinate in voxels.
struct batch {
  alignas(64) int32_t fixed[3][batch_size];
  alignas(64) float range2[batch_size];
  alignas(64) float reach[batch_size];
};

TESSERA_CLONES void to_camera(const transform& tf, const float* __restrict points, size_t count, batch& __restrict out) {
  for (size_t i = 0; i < count; ++i) {
    const float dx = points[3 * i] - tf.t[0], dy = points[3 * i + 1] - tf.t[1], dz = points[3 * i + 2] - tf.t[2];
    const float x = tf.r[0] * dx + tf.r[1] * dy + tf.r[2] * dz;
    const float y = tf.r[3] * dx + tf.r[4] * dy + tf.r[5] * dz;
    const float z = tf.r[6] * dx + tf.r[7] * dy + tf.r[8] * dz;
    out.range2[i] = x * x + y * y + z * z;
    const float ux = x * tf.per_voxel, uy = y * tf.per_voxel, uz = z * tf.per_voxel;
    const float ax = std::fabs(ux), ay = std::fabs(uy), az = std::fabs(uz);
    const float reach = ax > ay ? (ax > az ? ax : az) : (ay > az ? ay : az);
    out.reach[i] = reach;
    // Out of reach becomes 0 here, so that the conversion is defined; such a point is left out below.
    const bool near = reach < cell_limit && ax < cell_limit && ay < cell_limit && az < cell_limit;
    out.fixed[0][i] = static_cast<int32_t>(std::floor((near ? ux : 0.f) * 256.f + 0.5f));
    out.fixed[1][i] = static_cast<int32_t>(std::floor((near ? uy : 0.f) * 256.f + 0.5f));
    out.fixed[2][i] = static_cast<int32_t>(std::floor((near ? uz : 0.f) * 256.f + 0.5f));
  }
}

struct cell_sum {
  uint64_t key;
  uint32_t position[3]; ///< sums of positions within the cell, 1/256 voxel
  uint32_t colour[3];
  uint32_t count;
};

/// Cells by key: open addressing over indices into sums in the order of first touch.
class cell_table {
public:
  void clear(size_t points) {
    sums_.clear();
    const size_t want = std::bit_ceil(std::clamp<size_t>(points / 8, 1024, 1 << 16));
    slots_.assign(std::max(want, slots_.size() <= want * 8 ? slots_.size() : want), 0);
  }
  cell_sum& operator[](uint64_t key) {
    size_t at = slot_of(key);
    while (slots_[at] != 0) {
      if (sums_[slots_[at] - 1].key == key)
        return sums_[slots_[at] - 1];
      at = (at + 1) & (slots_.size() - 1);
    }
    sums_.push_back({key, {}, {}, 0});
    slots_[at] = static_cast<uint32_t>(sums_.size());
    if (sums_.size() * 2 > slots_.size())
      grow();
    return sums_.back();
  }
  [[nodiscard]] const std::vector<cell_sum>& sums() const { return sums_; }

private:
  [[nodiscard]] size_t slot_of(uint64_t key) const {
    const uint64_t h = key * 0x9e3779b97f4a7c15u;
    return static_cast<size_t>(h >> 32 ^ h >> 13) & (slots_.size() - 1);
  }
  void grow() {
    slots_.assign(slots_.size() * 4, 0);
    for (size_t i = 0; i < sums_.size(); ++i) {
      size_t at = slot_of(sums_[i].key);
      while (slots_[at] != 0)
        at = (at + 1) & (slots_.size() - 1);
      slots_[at] = static_cast<uint32_t>(i + 1);
    }
  }
  std::vector<cell_sum> sums_;
  std::vector<uint32_t> slots_ = std::vector<uint32_t>(1024);
};

int32_t mean_position(uint32_t sum, uint32_t count, int32_t cell) {
  return cell * ray_units_per_voxel + static_cast<int32_t>((sum + count / 2) / count);
}

} // namespace

std::vector<ray> make_rays(const mapping& map, const keyframe_body& body, const pose& world_from_camera, ray_counts& counts) {
  const auto points = body.points();
  const auto colours = body.colours();
  const auto confidence = body.confidence();
  const size_t channels = body.channels(), total = body.size();
  const auto& m = world_from_camera.m;
  transform tf{{m[0], m[4], m[8], m[1], m[5], m[9], m[2], m[6], m[10]},
               {m[3], m[7], m[11]},
               1.f / map.voxel_m,
               map.min_range_m * map.min_range_m,
               map.max_range_m * map.max_range_m};
  thread_local batch work;
  thread_local cell_table cells;
  cells.clear(total);
  counts = {};
  constexpr int64_t bias = 1 << 20; // cells are within +-2^20
  // Neighbouring points mostly share a cell: a run of them is summed in registers.
  cell_sum run{~uint64_t{0}, {}, {}, 0};
  const auto flush = [&] {
    if (run.count == 0)
      return;
    cell_sum& sum = cells[run.key];
    for (int i = 0; i < 3; ++i) {
      sum.position[i] += run.position[i];
      sum.colour[i] += run.colour[i];
    }
    sum.count += run.count;
  };
  for (size_t first = 0; first < total; first += batch_size) {
    const size_t count = std::min(batch_size, total - first);
    to_camera(tf, points.data() + 3 * first, count, work);
    const uint8_t* colour = colours.data() + channels * first;
    for (size_t i = 0; i < count; ++i, colour += channels) {
      const float range2 = work.range2[i];
      if (!(range2 >= tf.min2 && range2 <= tf.max2)) [[unlikely]] {
        const float* p = points.data() + 3 * (first + i);
        const bool finite = std::isfinite(p[0]) && std::isfinite(p[1]) && std::isfinite(p[2]);
        ++(finite ? counts.out_of_range : counts.not_finite);
        continue;
      }
      if (!confidence.empty() && !(confidence[first + i] >= map.min_confidence)) {
        ++counts.low_confidence;
        continue;
      }
      if (!(work.reach[i] < cell_limit)) [[unlikely]] {
        ++counts.beyond_map;
        continue;
      }
      const int32_t fx = work.fixed[0][i], fy = work.fixed[1][i], fz = work.fixed[2][i];
      const uint64_t key = static_cast<uint64_t>((fx >> 8) + bias) | static_cast<uint64_t>((fy >> 8) + bias) << 21
                           | static_cast<uint64_t>((fz >> 8) + bias) << 42;
      if (key != run.key) {
        flush();
        run = {key, {}, {}, 0};
      }
      run.position[0] += static_cast<uint32_t>(fx & 255);
      run.position[1] += static_cast<uint32_t>(fy & 255);
      run.position[2] += static_cast<uint32_t>(fz & 255);
      run.colour[0] += colour[0];
      run.colour[1] += colour[1];
      run.colour[2] += colour[2];
      ++run.count;
    }
  }
  flush();
  std::vector<ray> rays;
  rays.reserve(cells.sums().size());
  for (const cell_sum& s : cells.sums()) {
    const auto cell = [&](int axis) {
      return static_cast<int32_t>(static_cast<int64_t>(s.key >> (21 * axis) & 0x1fffff) - bias);
    };
    const auto mean_colour = [&](int i) { return static_cast<uint8_t>((s.colour[i] + s.count / 2) / s.count); };
    counts.valid += s.count;
    rays.push_back({mean_position(s.position[0], s.count, cell(0)), mean_position(s.position[1], s.count, cell(1)),
                    mean_position(s.position[2], s.count, cell(2)), mean_colour(0), mean_colour(1), mean_colour(2),
                    static_cast<uint8_t>(std::min(s.count, 255u))});
  }
  return rays;
}

} // namespace tessera
