#pragma once

#include "gpu/backend.hpp"
#include "gpu/cuda/buffer.hpp"
#include "gpu/cuda/device.hpp"
#include "gpu/cuda/ray_kernels.hpp"

#include <bit>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace tessera::cuda {

/// Makes rays of one keyframe after another on a stream of its own. Threads: one.
template <device_like Device>
class ray_lane {
public:
  using stream = typename Device::stream;
  /// A keyframe's points on the device.
  struct input {
    const float* points = nullptr;
    const float* confidence = nullptr;
    const uint8_t* colours = nullptr;
    uint32_t channels = 3;
    size_t count = 0, bytes = 0;
    uint32_t copies = 0;
  };

  ray_lane(Device& device, const mapping& map)
    : map_(map), stream_(device), staged_(device), points_(device), confidence_(device), colours_(device), table_(device),
      used_(device), rays_(device), rays_out_(device), totals_(device, 1), totals_out_(device, 1) {}

  /// The same set of rays as tessera::make_rays, in another order. Waits.
  std::vector<ray> make_and_wait(const keyframe_body& body, const pose& world_from_camera, ray_counts& counts) {
    counts = {};
    if (body.size() == 0)
      return {};
    try {
      make(upload(body, false), world_from_camera);
      download_totals();
      stream_.wait();
      uint64_t count = 0;
      read_totals(counts, count);
      return download(count);
    } catch (...) {
      abandon();
      throw;
    }
  }

  /// Begins to copy a keyframe's points to the device; `pinned`: without a copy in between, from where they are, which must stay.
  /// Throws torn_keyframe, std::invalid_argument for too many points.
  input upload(const keyframe_body& body, bool pinned) {
    input in;
    in.count = body.size();
    if (in.count > most_points)
      throw std::invalid_argument("a keyframe has at most 16777216 points");
    in.channels = body.channels();
    prepare(in.count);
    const size_t points = 12 * in.count, colours = in.channels * in.count,
                 confidence = body.confidence().empty() ? 0 : 4 * in.count;
    points_.ensure(3 * in.count);
    colours_.ensure(colours);
    confidence_.ensure(confidence / 4);
    in.points = points_.data();
    in.colours = colours_.data();
    in.confidence = confidence != 0 ? confidence_.data() : nullptr;
    const uint8_t* from[3] = {reinterpret_cast<const uint8_t*>(body.points().data()), body.colours().data(),
                              reinterpret_cast<const uint8_t*>(body.confidence().data())};
    if (!pinned) {
      staged_.ensure(points + colours + confidence);
      const size_t sizes[3] = {points, colours, confidence};
      for (size_t i = 0, at = 0; i < 3; at += sizes[i++])
        if (sizes[i] != 0) {
          std::memcpy(staged_.data() + at, from[i], sizes[i]);
          from[i] = staged_.data() + at;
        }
      if (auto torn = body.torn(); !torn.empty())
        throw torn_keyframe(torn);
    }
    stream_.upload(points_.data(), from[0], points);
    stream_.upload(colours_.data(), from[1], colours);
    stream_.upload(confidence_.data(), from[2], confidence);
    in.bytes = points + colours + confidence;
    in.copies = confidence != 0 ? 3 : 2;
    points_here_ = in.count;
    return in;
  }

  /// Begins to make rays.
  void make(const input& in, const pose& world_from_camera) {
    stream_.fill(totals_.data(), sizeof(ray_totals), 0);
    const auto& m = world_from_camera.m;
    const point_rules rules{{m[0], m[4], m[8], m[1], m[5], m[9], m[2], m[6], m[10]},
                            {m[3], m[7], m[11]},
                            1.f / map_.voxel_m,
                            map_.min_range_m * map_.min_range_m,
                            map_.max_range_m * map_.max_range_m,
                            map_.min_confidence};
    stream_.launch(in.count, add_points{rules, in.points, in.colours, in.confidence, in.channels, table_.data(),
                                        static_cast<uint32_t>(cells_ - 1), used_.data(), totals_.data()});
    stream_.launch_each(count(), 1, make_ray{table_.data(), used_.data(), rays_.data()});
  }
  void download_totals() { stream_.download(totals_out_.data(), totals_.data(), sizeof(ray_totals)); }

  /// What came of it, once the stream has come so far.
  void read_totals(ray_counts& counts, uint64_t& rays) const {
    const ray_totals& t = totals_out_[0];
    counts.not_finite = t.fates[static_cast<size_t>(fate::not_finite)];
    counts.out_of_range = t.fates[static_cast<size_t>(fate::out_of_range)];
    counts.low_confidence = t.fates[static_cast<size_t>(fate::low_confidence)];
    counts.beyond_map = t.fates[static_cast<size_t>(fate::beyond_map)];
    counts.valid = points_here_ - counts.not_finite - counts.out_of_range - counts.low_confidence - counts.beyond_map;
    rays = t.cells;
  }
  /// The rays made last. Waits.
  std::vector<ray> download(size_t count) {
    rays_out_.ensure(count);
    stream_.download(rays_out_.data(), rays_.data(), count * sizeof(ray));
    stream_.wait();
    return {rays_out_.data(), rays_out_.data() + count};
  }
  /// Something threw in between: what the stream was told is waited for, and the table, perhaps half full, is made anew.
  void abandon() noexcept {
    try {
      stream_.wait();
    } catch (...) { // whoever asks next is told
    }
    cells_ = 0;
  }

  [[nodiscard]] stream& work() { return stream_; }
  [[nodiscard]] const ray* rays() const { return rays_.data(); }
  /// How many there are, on the device.
  [[nodiscard]] const uint32_t* count() const { return &totals_.data()->cells; }
  [[nodiscard]] size_t points() const { return points_here_; }

private:
  static constexpr size_t most_points = size_t{1} << 24;

  /// Room for a keyframe; of cells a quarter more than points, at least: probing ends, and mostly soon.
  void prepare(size_t points) {
    used_.ensure(points);
    rays_.ensure(points);
    const size_t want = std::bit_ceil(points + points / 4 + 1);
    if (want <= cells_)
      return;
    table_.ensure(want);
    stream_.fill(table_.data(), want * sizeof(cell), 0);
    cells_ = want;
  }

  mapping map_;
  stream stream_;
  pinned_buffer<Device, uint8_t> staged_;
  device_buffer<Device, float> points_, confidence_;
  device_buffer<Device, uint8_t> colours_;
  device_buffer<Device, cell> table_; ///< of which the first cells_ are empty between keyframes
  device_buffer<Device, uint32_t> used_;
  device_buffer<Device, ray> rays_;
  pinned_buffer<Device, ray> rays_out_;
  device_buffer<Device, ray_totals> totals_;
  pinned_buffer<Device, ray_totals> totals_out_;
  size_t cells_ = 0, points_here_ = 0;
};

} // namespace tessera::cuda
