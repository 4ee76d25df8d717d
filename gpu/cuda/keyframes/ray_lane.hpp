#pragma once

#include "gpu/cuda/device.hpp"
#include "gpu/cuda/device/buffer.hpp"
#include "gpu/cuda/keyframes/ray_kernels.hpp"
#include "gpu/fields.hpp"
#include "gpu/host/copy_crew.hpp"

#include <algorithm>
#include <bit>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tessera::cuda {

/// Makes rays of one keyframe after another on a stream of its own. Threads: one.
template <device_like Device>
class ray_lane {
public:
  using stream = typename Device::stream;
  using mark = typename Device::mark;
  struct copied_bytes {
    size_t bytes = 0;
    uint32_t copies = 0;
  };

  /// `crew`: copies points that are not in pinned memory there.
  ray_lane(Device& device, const map_settings& map, copy_crew& crew)
    : map_(map), crew_(crew), copies_(device), stream_(device), copied_{mark(device), mark(device)}, staged_(device),
      points_(device), confidence_(device), table_(device), used_(device), rays_(device), out_(device), totals_(device, 1),
      totals_out_(device, 1) {}

  /// The same set of rays as tessera::make_rays, in another order. Waits.
  std::vector<ray> make_and_wait(const keyframe_body& body, const pose& world_from_camera, ray_counts& counts) {
    counts = {};
    if (body.size() == 0)
      return {};
    try {
      stream_.fill(totals_.data(), sizeof(ray_totals), 0);
      add(body, world_from_camera, totals_.data(), {});
      stream_.launch_each(&totals_.data()->cells, 1, maker());
      stream_.download(totals_out_.data(), totals_.data(), sizeof(ray_totals));
      stream_.wait();
      counts = counts_of(totals_out_[0], body.size());
      const auto downloaded = download(totals_out_[0].cells);
      return {downloaded.rays().begin(), downloaded.rays().end()};
    } catch (...) {
      abandon();
      throw;
    }
  }

  /// How a keyframe's points come to the device.
  struct manner {
    bool pinned = false;      ///< without a copy in between, from where they are, which must stay
    bool whole = false;       ///< in one piece; else in parts, if it is large, so that one is worked while the next is copied
    mark* begun = nullptr;    ///< if given, is set before the copies
    mark* uploaded = nullptr; ///< likewise after them
  };

  /// Begins to copy a keyframe's points to the device and to add them to their cells; maker() makes rays of these. `totals` is on
  /// the device, all zero when the stream comes to it. Throws torn_keyframe, std::invalid_argument for too many points;
  /// abandon() then.
  copied_bytes add(const keyframe_body& body, const pose& world_from_camera, ray_totals* totals, const manner& how) {
    points_here_ = body.size();
    ahead_ = 0;
    check_size(points_here_);
    prepare(points_here_);
    const bool with_confidence = !body.confidence().empty();
    const size_t channels = body.channels(), colours_at = 12 * points_here_, confidence_at = colours_at + channels * points_here_;
    points_.ensure(confidence_at);
    confidence_.ensure(with_confidence ? points_here_ : 0);
    if (!how.pinned)
      staged_.ensure(confidence_at + (with_confidence ? 4 * points_here_ : 0));
    const point_rules rules{make_own_frame(world_from_camera), 1.f / map_.voxel_m, map_.min_range_m * map_.min_range_m,
                            map_.max_range_m * map_.max_range_m, map_.min_confidence};
    const bool whole = how.whole || points_here_ < least_split;
    stream& copies = whole ? stream_ : copies_;
    copied_bytes out;
    const auto copy = [&](void* to, const void* from, size_t staged_at, size_t bytes) {
      if (bytes == 0)
        return;
      if (!how.pinned) {
        crew_.copy(staged_.data() + staged_at, from, bytes);
        from = staged_.data() + staged_at;
      }
      copies.upload(to, from, bytes);
      out.bytes += bytes;
      ++out.copies;
    };
    const auto add_part = [&](size_t first, size_t count) {
      const auto* points = reinterpret_cast<const float*>(points_.data());
      stream_.launch(count, add_points{rules, points + 3 * first, points_.data() + colours_at + channels * first,
                                       with_confidence ? confidence_.data() + first : nullptr, body.channels(), table_.data(),
                                       static_cast<uint32_t>(cells_ - 1), used_.data(), totals});
    };
    const auto* const points = reinterpret_cast<const uint8_t*>(body.points().data());
    const uint8_t* const colours = body.colours().data();
    if (how.begun != nullptr)
      copies.set(*how.begun);
    copy(confidence_.data(), body.confidence().data(), confidence_at, 4 * body.confidence().size());
    const bool together = whole && colours == points + colours_at; // each copy takes the host 2 to 4 us, and the bus
    if (!together)
      copy(points_.data() + colours_at, colours, colours_at, channels * points_here_);
    if (whole) {
      copy(points_.data(), points, 0, together ? confidence_at : colours_at);
      if (how.uploaded != nullptr)
        stream_.set(*how.uploaded);
      add_part(0, points_here_);
    } else {
      // The last part is small: it is worked when the copies are over. More parts, or colours in parts too, cost more than they
      // hide.
      const size_t ends[most_parts] = {points_here_ * 80 / 100, points_here_};
      for (size_t part = 0, first = 0; part < most_parts; first = ends[part++]) {
        copy(points_.data() + 12 * first, points + 12 * first, 12 * first, 12 * (ends[part] - first));
        copies_.set(copied_[part]);
        stream_.after(copied_[part]);
        add_part(first, ends[part] - first);
      }
      if (how.uploaded != nullptr) {
        copies_.set(*how.uploaded);
        stream_.after(*how.uploaded);
      }
    }
    if (!how.pinned)
      if (auto torn = body.torn(); !torn.empty())
        throw torn_keyframe(torn);
    return out;
  }
  /// Begins to copy rays that are made already, from the host's memory. `begun` and `uploaded` as in add().
  copied_bytes give(std::span<const ray> rays, mark* begun = nullptr, mark* uploaded = nullptr) {
    const size_t bytes = rays.size() * sizeof(ray);
    staged_.ensure(bytes);
    crew_.copy(staged_.data(), rays.data(), bytes);
    return take_over(rays.size(), begun, uploaded, [&] { stream_.upload(rays_.data(), staged_.data(), bytes); });
  }
  /// Likewise from the memory of another device.
  copied_bytes fetch(Device& owner, std::span<const ray> rays, mark* begun = nullptr, mark* uploaded = nullptr) {
    return take_over(rays.size(), begun, uploaded,
                     [&] { stream_.fetch(rays_.data(), owner, rays.data(), rays.size() * sizeof(ray)); });
  }
  /// Room for rays that a kernel of work() is to put there.
  ray* room_for(size_t rays, mark* begun = nullptr, mark* uploaded = nullptr) {
    (void)take_over(rays, begun, uploaded, [] {});
    return rays_.data();
  }
  /// Throws std::invalid_argument if a keyframe has too many points, or rays.
  static void check_size(size_t points) {
    if (points > most_points)
      throw std::invalid_argument("a keyframe has at most " + std::to_string(most_points) + " points, not "
                                  + std::to_string(points));
  }
  /// Item: a cell that has points; there are as many as the totals say.
  [[nodiscard]] make_ray maker() const { return {table_.data(), used_.data(), rays_.data()}; }

  static ray_counts counts_of(const ray_totals& t, size_t points) {
    ray_counts counts;
    counts.not_finite = t.fates[static_cast<size_t>(fate::not_finite)];
    counts.out_of_range = t.fates[static_cast<size_t>(fate::out_of_range)];
    counts.low_confidence = t.fates[static_cast<size_t>(fate::low_confidence)];
    counts.beyond_map = t.fates[static_cast<size_t>(fate::beyond_map)];
    counts.valid = points - counts.not_finite - counts.out_of_range - counts.low_confidence - counts.beyond_map;
    return counts;
  }
  /// Rays in pinned memory, which whoever holds them may read. Where there are none, there may be no memory.
  struct downloaded_rays {
    std::shared_ptr<const pinned_buffer<Device, ray>> memory;
    size_t count = 0;
    [[nodiscard]] std::span<const ray> rays() const {
      return count == 0 ? std::span<const ray>() : std::span<const ray>(memory->data(), count);
    }
  };
  /// Begins to bring down as many of the rays that are being made as there will be, most likely: about as many as last time.
  copied_bytes download_ahead() {
    ahead_ = 0;
    if (rays_out_ == nullptr)
      return {};
    try {
      leave_rays_to_others(std::min(expected_, rays_out_->size()));
    } catch (const std::bad_alloc&) { // whoever needs them is told
      return {};
    }
    ahead_ = std::min({points_here_, expected_, rays_out_->size()}); // never more room, which there may not be
    if (ahead_ == 0)
      return {};
    stream_.download(rays_out_->data(), rays_.data(), ahead_ * sizeof(ray));
    return {ahead_ * sizeof(ray), 1};
  }
  /// The rays made last. Waits, unless they were brought down ahead, and the stream has been waited for since. Throws
  /// std::bad_alloc.
  downloaded_rays download(size_t count) {
    expected_ = count + count / 4 + 1024;
    if (count > std::exchange(ahead_, 0)) {
      leave_rays_to_others(count);
      stream_.download(rays_out_->data(), rays_.data(), count * sizeof(ray));
      stream_.wait();
    }
    return {rays_out_, count};
  }
  /// Something threw in between: what the stream was told is waited for, and the table, perhaps half full, is made anew.
  void abandon() noexcept {
    try {
      copies_.wait();
      stream_.wait();
    } catch (...) { // whoever asks next is told
    }
    cells_ = 0;
  }

  [[nodiscard]] stream& work() { return stream_; }
  [[nodiscard]] const ray* rays() const { return rays_.data(); }
  [[nodiscard]] size_t points() const { return points_here_; }

private:
  static constexpr size_t most_points = size_t{1} << 24;
  static constexpr size_t most_parts = 2, least_split = size_t{1} << 16;

  /// Room for a keyframe; of cells a quarter more than points, at least: probing ends, and mostly soon.
  void prepare(size_t points) {
    used_.ensure(points);
    if (points > rays_.size()) {
      rays_.ensure(points);
      stream_.fill(rays_.data(), rays_.size() * sizeof(ray), 0); // more may be brought down than were made
    }
    const size_t want = std::bit_ceil(points + points / 4 + 1);
    if (want <= cells_)
      return;
    table_.ensure(want);
    stream_.fill(table_.data(), want * sizeof(cell), 0);
    cells_ = want;
  }

  /// Gives the last memory back to the pool, and takes some with room for so many: the same, if nobody holds it.
  void leave_rays_to_others(size_t room) {
    rays_out_ = nullptr;
    rays_out_ = out_.take(room, 1);
  }

  template <class Copy>
  copied_bytes take_over(size_t count, mark* begun, mark* uploaded, Copy copy) {
    points_here_ = 0;
    rays_.ensure(count);
    if (begun != nullptr)
      stream_.set(*begun);
    copy();
    if (uploaded != nullptr)
      stream_.set(*uploaded);
    return {count * sizeof(ray), count != 0 ? 1u : 0u};
  }

  map_settings map_;
  copy_crew& crew_;
  stream copies_, stream_;
  mark copied_[most_parts];
  pinned_buffer<Device, uint8_t> staged_;
  device_buffer<Device, uint8_t> points_; ///< and behind them the colours
  device_buffer<Device, float> confidence_;
  device_buffer<Device, cell> table_; ///< of which the first cells_ are empty between keyframes
  device_buffer<Device, uint32_t> used_;
  device_buffer<Device, ray> rays_;
  buffer_pool<pinned_buffer<Device, ray>, Device> out_;
  std::shared_ptr<pinned_buffer<Device, ray>> rays_out_; ///< taken from the pool
  device_buffer<Device, ray_totals> totals_;
  pinned_buffer<Device, ray_totals> totals_out_;
  size_t cells_ = 0, points_here_ = 0;
  size_t expected_ = 0, ahead_ = 0; ///< rays: that there will be next time; that are on their way down
};

} // namespace tessera::cuda
