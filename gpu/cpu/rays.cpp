#include "gpu/rays.hpp"
#include "gpu/bounds.hpp"
#include "gpu/cpu/clones.hpp"
#include "gpu/shared/own_frame.hpp"
#include "gpu/shared/portable.hpp"
#include "gpu/shared/walk.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <set>

namespace tessera {

namespace {

constexpr size_t batch_size = 512;

/// Reached cells lie within +-2^20 voxels of the camera on each axis.
constexpr float cell_limit = static_cast<float>(1 << 20);

struct transform {
  own_frame to;
  float per_voxel;
  float min2, max2; ///< squared ranges
};

constexpr int64_t bias = 1 << 20; // cells are within +-2^20

/// Keys of points that are left out; no cell has such a key.
enum left_out : uint64_t { out_of_range = uint64_t{1} << 63, low_confidence, beyond_map };

/// One batch of points: the cell of each, and its place in the cell and its colour as three fields of 21
/// bits. So a run of points in one cell, of at most a batch, is summed in two additions a point.
struct batch {
  alignas(64) uint64_t key[batch_size];
  alignas(64) uint64_t place[batch_size];
  alignas(64) uint64_t colour[batch_size];
};

constexpr uint64_t pack(uint32_t a, uint32_t b, uint32_t c) {
  return uint64_t{a} | uint64_t{b} << 21 | uint64_t{c} << 42;
}
constexpr uint32_t unpack(uint64_t packed, int i) {
  return static_cast<uint32_t>(packed >> 21 * i) & 0x1fffff;
}

TESSERA_CLONES void find_cells(const transform& tf, const float* __restrict points, size_t count, batch& __restrict out) {
  alignas(64) uint32_t fixed[3][batch_size];
  alignas(64) uint32_t state[batch_size];
  const float *const r = tf.to.inverse, *const t = tf.to.camera;
  for (size_t i = 0; i < count; ++i) {
    const float dx = points[3 * i] - t[0], dy = points[3 * i + 1] - t[1], dz = points[3 * i + 2] - t[2];
    const float x = r[0] * dx + r[1] * dy + r[2] * dz;
    const float y = r[3] * dx + r[4] * dy + r[5] * dz;
    const float z = r[6] * dx + r[7] * dy + r[8] * dz;
    const float range2 = x * x + y * y + z * z;
    const float ux = x * tf.per_voxel, uy = y * tf.per_voxel, uz = z * tf.per_voxel;
    const bool near = all_of(std::fabs(ux) < cell_limit, std::fabs(uy) < cell_limit, std::fabs(uz) < cell_limit);
    const bool in_range = all_of(range2 >= tf.min2, range2 <= tf.max2);
    // Out of reach becomes 0 here, so that the conversion is defined; such a point is left out.
    fixed[0][i] = static_cast<uint32_t>(static_cast<int32_t>(std::floor((near ? ux : 0.f) * 256.f + 0.5f)));
    fixed[1][i] = static_cast<uint32_t>(static_cast<int32_t>(std::floor((near ? uy : 0.f) * 256.f + 0.5f)));
    fixed[2][i] = static_cast<uint32_t>(static_cast<int32_t>(std::floor((near ? uz : 0.f) * 256.f + 0.5f)));
    state[i] = in_range ? (near ? 0u : 2u) : 1u;
  }
  constexpr uint32_t shift = static_cast<uint32_t>(bias) << 8;
  for (size_t i = 0; i < count; ++i) {
    const uint32_t fx = fixed[0][i] + shift, fy = fixed[1][i] + shift, fz = fixed[2][i] + shift;
    const uint64_t cell = pack(fx >> 8, fy >> 8, fz >> 8);
    out.key[i] = state[i] == 0 ? cell : state[i] == 1 ? uint64_t{out_of_range} : uint64_t{beyond_map};
    out.place[i] = pack(fx & 255, fy & 255, fz & 255);
  }
}

struct cell_sum {
  uint32_t place[3]; ///< sums of places within the cell, 1/256 voxel
  uint32_t colour[3];
  uint32_t count;
  uint32_t unused; ///< a power of two in size
};

/// The sums of all cells with points: blocks of 4^3 cells in an open-addressing table, sums in the order of
/// first touch. Rays come out block by block, so that those which write to the same voxels stand together.
class cell_table {
public:
  static constexpr int block_edge = 4;

  void clear(size_t points) {
    blocks_.clear();
    sums_.clear();
    last_ = no_block;
    const size_t want = std::bit_ceil(std::clamp<size_t>(points / 32, 1024, 1 << 14));
    slots_.assign(std::max(want, slots_.size() <= want * 8 ? slots_.size() : want), 0);
  }
  cell_sum& operator[](uint64_t key) {
    constexpr uint64_t in_block = pack(3, 3, 3);
    block& b = block_of(key & ~in_block);
    const auto cell = static_cast<size_t>((key & 3) | (key >> 19 & 12) | (key >> 38 & 48));
    const uint64_t bit = uint64_t{1} << cell;
    if ((b.occupied & bit) == 0) {
      b.occupied |= bit;
      b.sum[cell] = static_cast<uint32_t>(sums_.size());
      sums_.push_back({});
    }
    return sums_[b.sum[cell]];
  }
  [[nodiscard]] size_t size() const { return sums_.size(); }
  [[nodiscard]] size_t blocks() const { return blocks_.size(); }
  /// The middle of a block, in voxels from the camera, in its axes.
  [[nodiscard]] std::array<double, 3> middle_of(size_t number) const {
    std::array<double, 3> out{};
    for (int axis = 0; axis < 3; ++axis)
      out[static_cast<size_t>(axis)] = static_cast<double>(unpack(blocks_[number].key, axis)) - bias + block_edge / 2.0;
    return out;
  }
  /// Gives memory back that only a keyframe of unusually many cells needs.
  void trim() {
    if (blocks_.capacity() * sizeof(block) + sums_.capacity() * sizeof(cell_sum) + slots_.capacity() * sizeof(uint32_t)
        > kept_bytes)
      *this = {};
  }
  template <class F>
  void for_each(F&& visit) const {
    for (const block& b : blocks_)
      for (uint64_t left = b.occupied; left != 0; left &= left - 1) {
        const auto cell = static_cast<uint64_t>(std::countr_zero(left));
        visit(b.key | (cell & 3) | (cell & 12) << 19 | (cell & 48) << 38, sums_[b.sum[cell]]);
      }
  }

private:
  struct block {
    uint64_t key;
    uint64_t occupied;
    uint32_t sum[64];
  };
  static constexpr uint32_t no_block = UINT32_MAX;
  static constexpr size_t kept_bytes = 32 << 20; ///< four times what 60,000 rays need
  [[nodiscard]] size_t slot_of(uint64_t key) const {
    const uint64_t h = key * 0x9e3779b97f4a7c15u;
    return static_cast<size_t>(h >> 32 ^ h >> 13) & (slots_.size() - 1);
  }
  block& block_of(uint64_t key) {
    if (last_ != no_block && blocks_[last_].key == key)
      return blocks_[last_];
    size_t at = slot_of(key);
    while (slots_[at] != 0) {
      last_ = slots_[at] - 1;
      if (blocks_[last_].key == key)
        return blocks_[last_];
      at = (at + 1) & (slots_.size() - 1);
    }
    last_ = static_cast<uint32_t>(blocks_.size());
    blocks_.emplace_back();
    blocks_.back().key = key;
    slots_[at] = last_ + 1;
    if (blocks_.size() * 2 > slots_.size())
      grow();
    return blocks_[last_];
  }
  void grow() {
    slots_.assign(slots_.size() * 4, 0);
    for (size_t i = 0; i < blocks_.size(); ++i) {
      size_t at = slot_of(blocks_[i].key);
      while (slots_[at] != 0)
        at = (at + 1) & (slots_.size() - 1);
      slots_[at] = static_cast<uint32_t>(i + 1);
    }
  }
  std::vector<block> blocks_;
  std::vector<cell_sum> sums_;
  std::vector<uint32_t> slots_ = std::vector<uint32_t>(1024);
  uint32_t last_ = no_block; ///< the block last looked up: neighbouring points mostly share it
};

/// Tells that a keyframe touches too many regions before all of its rays are made: tables for millions of far points are
/// gigabytes. Looks only at tables that are large, and counts only regions that rays write to for certain: one for each cube of
/// regions that has the end of a ray deep within. A cube is a region, or as many as the blocks of an enlarged keyframe want.
class region_watch {
public:
  region_watch(const map_settings& map, const pose& world_from_camera)
    : map_(map), frame_(make_walk_frame(world_from_camera.m.data(), map.voxel_m, map.truncation_m)),
      scale_(std::sqrt(squared_scale(world_from_camera))), margin_(2 + 4 * scale_),
      edge_(map.region_voxels * (scale_ > 1 ? std::ceil(3 * margin_ / map.region_voxels) : 1.0)) {}

  /// Looks at blocks that were not there before. Throws keyframe_too_large.
  void look(const cell_table& cells) {
    if (cells.blocks() < next_look_)
      return;
    for (; seen_ < cells.blocks(); ++seen_)
      add(cells.middle_of(seen_));
    next_look_ = seen_ + seen_ / 4;
  }

private:
  void add(const std::array<double, 3>& middle) {
    const double limit = lattice::map_limit - 64 - margin_;
    const auto& m = frame_.linear;
    int32_t cube[3];
    for (int axis = 0; axis < 3; ++axis) {
      const double at = m[3 * axis] * middle[0] + m[3 * axis + 1] * middle[1] + m[3 * axis + 2] * middle[2] + frame_.origin[axis];
      if (!(std::fabs(at) < limit))
        return;
      const double number = std::floor(at / edge_), within = at - number * edge_;
      if (within < margin_ || within > edge_ - margin_)
        return; // it may be in the next cube
      cube[axis] = static_cast<int32_t>(number);
    }
    const double squared = middle[0] * middle[0] + middle[1] * middle[1] + middle[2] * middle[2];
    if (scale_ * scale_ * squared < 4 * margin_ * margin_)
      return; // rays that begin where they end write nothing
    const region_key key{cube[0], cube[1], cube[2]};
    if (key == last_)
      return;
    last_ = key;
    regions_.insert(key);
    if (regions_.size() > most_keyframe_regions)
      throw keyframe_too_large(map_, regions_.size(), true);
  }

  const map_settings& map_;
  const walk_frame frame_;
  const double scale_;
  const double margin_; ///< less than this away from a block's middle its rays end, and write: within two voxels of their end
  const double edge_;   ///< of a cube, in voxels
  std::set<region_key> regions_;
  region_key last_{INT32_MAX, 0, 0};
  size_t seen_ = 0;
  size_t next_look_ = size_t{4} * most_keyframe_regions; ///< ordinary keyframes have fewer blocks
};

int32_t mean_position(uint32_t sum, uint32_t count, int32_t cell) {
  return cell * ray_units_per_voxel + static_cast<int32_t>((sum + count / 2) / count);
}

template <size_t Channels>
void pack_colours(const uint8_t* __restrict colours, size_t count, uint64_t* __restrict out) {
  for (size_t i = 0; i < count; ++i)
    out[i] = pack(colours[Channels * i], colours[Channels * i + 1], colours[Channels * i + 2]);
}

/// 3 or 4 bytes a point.
TESSERA_CLONES void pack_colours(const uint8_t* colours, size_t channels, size_t count, uint64_t* out) {
  channels == 4 ? pack_colours<4>(colours, count, out) : pack_colours<3>(colours, count, out);
}

} // namespace

std::vector<ray> make_rays(const map_settings& map, const keyframe_body& body, const pose& world_from_camera,
                           ray_counts& counts) {
  const auto points = body.points();
  const auto colours = body.colours();
  const auto confidence = body.confidence();
  const size_t channels = body.channels(), total = body.size();
  const transform tf{make_own_frame(world_from_camera), 1.f / map.voxel_m, map.min_range_m * map.min_range_m,
                     map.max_range_m * map.max_range_m};
  thread_local batch work;
  thread_local cell_table cells;
  struct trimmer {
    ~trimmer() { cells.trim(); }
  } at_the_end; // also if memory runs out
  cells.clear(total);
  region_watch regions(map, world_from_camera);
  counts = {};
  for (size_t first = 0; first < total; first += batch_size) {
    const size_t count = std::min(batch_size, total - first);
    find_cells(tf, points.data() + 3 * first, count, work);
    pack_colours(colours.data() + channels * first, channels, count, work.colour);
    if (!confidence.empty())
      for (size_t i = 0; i < count; ++i)
        if (work.key[i] != out_of_range && !(confidence[first + i] >= map.min_confidence))
          work.key[i] = low_confidence;
    // Neighbouring points mostly share a cell: a run of them is summed in registers.
    for (size_t i = 0; i < count;) {
      const uint64_t key = work.key[i];
      uint64_t place = work.place[i], colour = work.colour[i];
      size_t end = i + 1;
      for (; end < count && work.key[end] == key; ++end) {
        place += work.place[end];
        colour += work.colour[end];
      }
      const auto run = static_cast<uint32_t>(end - i);
      if (key < out_of_range) [[likely]] {
        cell_sum& sum = cells[key];
        for (int axis = 0; axis < 3; ++axis) {
          sum.place[axis] += unpack(place, axis);
          sum.colour[axis] += unpack(colour, axis);
        }
        sum.count += run;
        counts.valid += run;
      } else if (key == low_confidence) {
        counts.low_confidence += run;
      } else if (key == beyond_map) {
        counts.beyond_map += run;
      } else {
        for (const float* p = points.data() + 3 * (first + i); p != points.data() + 3 * (first + end); p += 3) {
          const bool finite = std::isfinite(p[0]) && std::isfinite(p[1]) && std::isfinite(p[2]);
          ++(finite ? counts.out_of_range : counts.not_finite);
        }
      }
      i = end;
    }
    regions.look(cells);
  }
  std::vector<ray> rays;
  rays.reserve(cells.size());
  cells.for_each([&](uint64_t key, const cell_sum& s) {
    const auto mean = [&](int axis) {
      return mean_position(s.place[axis], s.count, static_cast<int32_t>(static_cast<int64_t>(unpack(key, axis)) - bias));
    };
    const auto mean_colour = [&](int i) { return static_cast<uint8_t>((s.colour[i] + s.count / 2) / s.count); };
    rays.push_back(
      {mean(0), mean(1), mean(2), mean_colour(0), mean_colour(1), mean_colour(2), static_cast<uint8_t>(std::min(s.count, 255u))});
  });
  return rays;
}

} // namespace tessera
