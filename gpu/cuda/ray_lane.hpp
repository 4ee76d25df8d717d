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
  ray_lane(Device& device, const mapping& map)
    : map_(map), stream_(device), staged_(device), input_(device), table_(device), used_(device), rays_(device),
      rays_out_(device), totals_(device, 1), totals_out_(device, 1) {}

  /// The same set of rays as tessera::make_rays, in another order.
  std::vector<ray> make(const keyframe_body& body, const pose& world_from_camera, ray_counts& counts) {
    const size_t total = body.size();
    counts = {};
    if (total == 0)
      return {};
    if (total > most_points)
      throw std::invalid_argument("a keyframe has at most 16777216 points");
    try {
      return make_rays(body, world_from_camera, total, counts);
    } catch (...) {
      cells_ = 0; // the table may be left half full
      throw;
    }
  }

private:
  static constexpr size_t most_points = size_t{1} << 24;

  std::vector<ray> make_rays(const keyframe_body& body, const pose& world_from_camera, size_t total, ray_counts& counts) {
    prepare_table(total);
    used_.ensure(total);
    rays_.ensure(total);
    const size_t points = 12 * total, confidence = body.confidence().empty() ? 0 : 4 * total, colours = body.channels() * total;
    staged_.ensure(points + confidence + colours);
    input_.ensure(points + confidence + colours);
    std::memcpy(staged_.data(), body.points().data(), points);
    if (confidence != 0)
      std::memcpy(staged_.data() + points, body.confidence().data(), confidence);
    std::memcpy(staged_.data() + points + confidence, body.colours().data(), colours);
    stream_.upload(input_.data(), staged_.data(), points + confidence + colours);
    stream_.fill(totals_.data(), sizeof(ray_totals), 0);

    const auto& m = world_from_camera.m;
    const point_rules rules{{m[0], m[4], m[8], m[1], m[5], m[9], m[2], m[6], m[10]},
                            {m[3], m[7], m[11]},
                            1.f / map_.voxel_m,
                            map_.min_range_m * map_.min_range_m,
                            map_.max_range_m * map_.max_range_m,
                            map_.min_confidence};
    const auto* first = reinterpret_cast<const float*>(input_.data());
    stream_.launch(total,
                   add_points{rules, first, input_.data() + points + confidence, confidence != 0 ? first + 3 * total : nullptr,
                              body.channels(), table_.data(), static_cast<uint32_t>(cells_ - 1), used_.data(), totals_.data()});
    stream_.launch_each(&totals_.data()->cells, 1, make_ray{table_.data(), used_.data(), rays_.data()});
    stream_.download(totals_out_.data(), totals_.data(), sizeof(ray_totals));
    stream_.wait();

    const ray_totals& t = totals_out_[0];
    rays_out_.ensure(t.cells);
    stream_.download(rays_out_.data(), rays_.data(), t.cells * sizeof(ray));
    stream_.wait();
    counts.not_finite = t.fates[static_cast<size_t>(fate::not_finite)];
    counts.out_of_range = t.fates[static_cast<size_t>(fate::out_of_range)];
    counts.low_confidence = t.fates[static_cast<size_t>(fate::low_confidence)];
    counts.beyond_map = t.fates[static_cast<size_t>(fate::beyond_map)];
    counts.valid = total - counts.not_finite - counts.out_of_range - counts.low_confidence - counts.beyond_map;
    return {rays_out_.data(), rays_out_.data() + t.cells};
  }

  /// A quarter more cells than points, at least: probing ends, and mostly soon.
  void prepare_table(size_t points) {
    const size_t want = std::bit_ceil(points + points / 4 + 1);
    if (want <= cells_)
      return;
    table_.ensure(want);
    stream_.fill(table_.data(), want * sizeof(cell), 0);
    cells_ = want;
  }

  mapping map_;
  typename Device::stream stream_;
  pinned_buffer<Device, uint8_t> staged_;
  device_buffer<Device, uint8_t> input_;
  device_buffer<Device, cell> table_; ///< of which the first cells_ are empty between keyframes
  device_buffer<Device, uint32_t> used_;
  device_buffer<Device, ray> rays_;
  pinned_buffer<Device, ray> rays_out_;
  device_buffer<Device, ray_totals> totals_;
  pinned_buffer<Device, ray_totals> totals_out_;
  size_t cells_ = 0;
};

} // namespace tessera::cuda
