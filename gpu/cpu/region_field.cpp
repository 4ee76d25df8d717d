#include "gpu/cpu/region_field.hpp"

#include "gpu/cpu/clones.hpp"

#include "gpu/shared/digest.hpp"

#include <algorithm>
#include <new>
#include <utility>

namespace tessera::cpu {

region_field::region_field(const map_settings& map, region_key key, block_pool& pool)
  : map_(map), pool_(pool), edge_(static_cast<int32_t>(map.region_voxels)), reach_(edge_ + lattice::apron),
    blocks_(edge_ / lattice::block_edge + 1), origin_{key.x * edge_, key.y * edge_, key.z * edge_} {
  const auto slots = static_cast<size_t>(blocks_) * blocks_ * blocks_;
  field_.resize(slots);
  changes_.resize(slots);
  lacked_.resize(slots);
}

const block* region_field::at(int32_t bx, int32_t by, int32_t bz) const {
  if (bx < 0 || by < 0 || bz < 0 || bx >= blocks_ || by >= blocks_ || bz >= blocks_)
    return nullptr;
  return field_[slot(bx, by, bz)].get();
}

/// Makes a block. When memory runs out, what is written to missing blocks goes to a scratch block from then on, and integrate()
/// takes all of it back.
block& region_field::make_block(size_t s) {
  thread_local block lost;
  if (!full_)
    try {
      auto made = block_handle(pool_.take(past_the_cap_), block_return{&pool_});
      fresh_.push_back(s);
      field_[s] = std::move(made);
      return *field_[s];
    } catch (const std::bad_alloc&) {
      full_ = std::current_exception();
    }
  lack(s);
  return lost;
}

void region_field::lack(size_t s) {
  if (lacked_[s])
    return;
  lacked_[s] = true;
  ++lacked_count_;
}

void region_field::begin_job() {
  stats_.reset();
  fresh_.clear();
  full_ = nullptr;
  if (std::exchange(lacked_count_, 0) != 0)
    lacked_.assign(lacked_.size(), false);
}

namespace {

/// What changed of a block with one voxel, or with two voxels in a row, by their place along an axis.
constexpr block_changes one_voxel[3][8] = {{3, 1, 1, 1, 1, 1, 1, 5}, {9, 1, 1, 1, 1, 1, 1, 17}, {33, 1, 1, 1, 1, 1, 1, 65}};
constexpr block_changes two_voxels[3][8] = {{3, 1, 1, 1, 1, 1, 5, 5}, {9, 1, 1, 1, 1, 1, 17, 17}, {33, 1, 1, 1, 1, 1, 65, 65}};

} // namespace

using int32x8 = int32_t __attribute__((vector_size(32)));
using int64x8 = int64_t __attribute__((vector_size(64)));

/// Rays set up for a walk through the region: ray_walk by field, with places relative to the region's first
/// voxel.
struct region_field::walk_batch {
  static constexpr size_t most = 64;
  template <class T>
  using each = std::array<T, most>;
  alignas(64) each<int32_t> axis, end_a, end_b, end_c, direction_a, direction_b,
    direction_c, slope_b, slope_c, first, last, weight;
  alignas(64) each<int64_t> colour_1, colour_2; ///< what a sample adds to words 1 and 2, but for the weight
};

/// What the samples of up to eight slices of a ray add: to the voxels (b0, c0), (b0 + 1, c0), (b0, c0 + 1),
/// (b0 + 1, c0 + 1) of each.
struct region_field::walk_samples {
  static constexpr int32_t most = 8;
  int64x8 w0[4], w1[4], w2[4];
  int32x8 b0, c0;
  std::array<block*, most> to;     ///< the block of all four voxels; null if they lie in several or it is missing
  std::array<int32_t, most> voxel; ///< (b0, c0) in that block
  std::array<std::array<int32_t, 4>, most> slots,
    voxels;                   ///< else: of each of the four; slot -1: not kept, or nothing to add
  int32_t axis, first, count; ///< slices first .. first + count - 1 on the axis
};

[[gnu::always_inline]] inline void region_field::setup(const walk_frame& frame, std::span<const ray> rays, int32_t sign,
                                                       walk_batch& out) const {
  for (size_t i = 0; i < rays.size(); ++i) {
    ray_walk w;
    setup_walk(frame, rays[i].x, rays[i].y, rays[i].z, rays[i].points, w);
    const int32_t origin_a = w.axis == 0 ? origin_[0] : w.axis == 1 ? origin_[1] : origin_[2];
    out.axis[i] = w.axis;
    out.end_a[i] = w.end_a - origin_a * 256;
    out.end_b[i] = w.end_b - (w.axis == 0 ? origin_[1] : origin_[0]) * 256;
    out.end_c[i] = w.end_c - (w.axis == 2 ? origin_[1] : origin_[2]) * 256;
    out.direction_a[i] = w.direction_a;
    out.direction_b[i] = w.direction_b;
    out.direction_c[i] = w.direction_c;
    out.slope_b[i] = w.slope_b;
    out.slope_c[i] = w.slope_c;
    out.first[i] = w.first > origin_a ? w.first - origin_a : 0;
    out.last[i] = w.last < origin_a + reach_ - 1 ? w.last - origin_a : reach_ - 1;
    out.weight[i] = w.weight;
  }
  for (size_t i = 0; i < rays.size(); ++i) {
    const voxel_words colour = pack_sample(0, 0, rays[i].r, rays[i].g, rays[i].b);
    out.colour_1[i] = static_cast<int64_t>(colour.w1) * sign;
    out.colour_2[i] = static_cast<int64_t>(colour.w2) * sign;
  }
}

/// Samples of slices k, k + 1 .. of ray i (docs/field.md, "Walk"). Those past the ray's last slice are
/// computed and not used.
[[gnu::always_inline]] inline void region_field::find_samples(const walk_frame& frame, const walk_batch& rays, size_t i,
                                                              int32_t k, int32_t sign, walk_samples& out) {
  const int32_t end_b = rays.end_b[i], end_c = rays.end_c[i];
  const int32x8 along = (int32x8{0, 1, 2, 3, 4, 5, 6, 7} + k) * 256 - rays.end_a[i];
  const int32x8 pb = end_b * 256 + (along * rays.slope_b[i] >> 8), pc = end_c * 256 + (along * rays.slope_c[i] >> 8);
  out.b0 = pb >> 16;
  out.c0 = pc >> 16;
  const int32x8 fb = pb >> 12 & 15, fc = pc >> 12 & 15;
  const int32x8 scaled
    = -rays.direction_a[i] * along + rays.direction_b[i] * (end_b - out.b0 * 256) + rays.direction_c[i] * (end_c - out.c0 * 256);
  for (int q = 0; q < 4; ++q) {
    const int right = q & 1, up = q >> 1;
    int32x8 distance, weight;
    clamp_distance(scaled - right * 256 * rays.direction_b[i] - up * 256 * rays.direction_c[i], distance);
    sample_weight(frame, rays.weight[i], (right ? fb : 16 - fb) * (up ? fc : 16 - fc), distance, weight);
    const auto any = __builtin_convertvector(weight != 0, int64x8); // a weight of 0 adds nothing at all
    weight = weight * sign;
    out.w0[q] = ((__builtin_convertvector(distance * weight, int64x8) << 24) + sign) & any;
    out.w1[q] = (__builtin_convertvector(weight, int64x8) + rays.colour_1[i]) & any;
    out.w2[q] = any & rays.colour_2[i];
  }
}

inline void fetch(const block& of, int32_t voxel) {
  __builtin_prefetch(&of.w01[static_cast<size_t>(voxel)], 1);
  __builtin_prefetch(&of.w2[static_cast<size_t>(voxel)], 1);
}

/// Finds the blocks of samples, and has their memory on its way by the time that they are added.
[[gnu::always_inline]] inline void region_field::locate(walk_samples& s) {
  const int a = s.axis, b = a == 0 ? 1 : 0, c = a == 2 ? 1 : 2;
  const int shift_a = 3 * a, shift_b = 3 * b, shift_c = 3 * c;
  const int32_t stride[3] = {1, blocks_, blocks_ * blocks_};
  const int32x8 b0 = s.b0, c0 = s.c0, k = int32x8{0, 1, 2, 3, 4, 5, 6, 7} + s.first;
  const int32x8 slot = (k >> 3) * stride[a] + (b0 >> 3) * stride[b] + (c0 >> 3) * stride[c];
  const int32x8 voxel = (k & 7) << shift_a | (b0 & 7) << shift_b | (c0 & 7) << shift_c;
  // Mostly all four voxels lie in one block, which exists. (The last layer of a region's field starts a
  // block.)
  const int32x8 together = (b0 >= 0) & (c0 >= 0) & ((b0 & 7) < 7) & ((c0 & 7) < 7) & (b0 + 1 < reach_) & (c0 + 1 < reach_);
  for (int32_t n = 0; n < s.count; ++n) {
    const auto i = static_cast<size_t>(n);
    block* const to = together[n] != 0 ? field_[static_cast<size_t>(slot[n])].get() : nullptr;
    s.to[i] = to;
    if (to != nullptr) [[likely]] {
      changes_[static_cast<size_t>(slot[n])]
        |= static_cast<block_changes>(one_voxel[a][k[n] & 7] | two_voxels[b][b0[n] & 7] | two_voxels[c][c0[n] & 7]);
      s.voxel[i] = voxel[n];
      fetch(*to, voxel[n]);
      fetch(*to, voxel[n] + (1 << shift_c));
      continue;
    }
    for (size_t q = 0; q < 4; ++q) {
      const int32_t vb = b0[n] + static_cast<int32_t>(q & 1), vc = c0[n] + static_cast<int32_t>(q >> 1);
      s.slots[i][q] = -1;
      if (vb < 0 || vc < 0 || vb >= reach_ || vc >= reach_ || s.w0[q][n] == 0)
        continue; // makes no block for nothing
      const int32_t at = (k[n] >> 3) * stride[a] + (vb >> 3) * stride[b] + (vc >> 3) * stride[c];
      changes_[static_cast<size_t>(at)]
        |= static_cast<block_changes>(one_voxel[a][k[n] & 7] | one_voxel[b][vb & 7] | one_voxel[c][vc & 7]);
      s.slots[i][q] = at;
      s.voxels[i][q] = (k[n] & 7) << shift_a | (vb & 7) << shift_b | (vc & 7) << shift_c;
      if (const block* one = field_[static_cast<size_t>(at)].get())
        fetch(*one, s.voxels[i][q]);
    }
  }
}

/// Adds samples to their voxels.
[[gnu::always_inline]] inline void region_field::add(const walk_samples& s) {
  const int shift_b = s.axis == 0 ? 3 : 0, shift_c = s.axis == 2 ? 3 : 6;
  for (int32_t n = 0; n < s.count; ++n) {
    const auto add = [&](block& to, int q, int32_t voxel) {
      block::front& front = to.w01[static_cast<size_t>(voxel)];
      front.w0 += static_cast<uint64_t>(s.w0[q][n]);
      front.w1 += static_cast<uint64_t>(s.w1[q][n]);
      to.w2[static_cast<size_t>(voxel)] += static_cast<uint64_t>(s.w2[q][n]);
    };
    if (block* const to = s.to[static_cast<size_t>(n)]) [[likely]] {
      const int32_t voxel = s.voxel[static_cast<size_t>(n)];
      add(*to, 0, voxel);
      add(*to, 1, voxel + (1 << shift_b));
      add(*to, 2, voxel + (1 << shift_c));
      add(*to, 3, voxel + (1 << shift_b) + (1 << shift_c));
      continue;
    }
    for (int q = 0; q < 4; ++q)
      if (const int32_t slot = s.slots[static_cast<size_t>(n)][static_cast<size_t>(q)]; slot >= 0) {
        auto& to = field_[static_cast<size_t>(slot)];
        add(to ? *to : make_block(static_cast<size_t>(slot)), q, s.voxels[static_cast<size_t>(n)][static_cast<size_t>(q)]);
      }
  }
}

/// Rays are set up many at once, and samples are added a few rays after they were located.
TESSERA_CLONES void region_field::apply(const ray_job& job, int32_t sign) {
  const walk_frame frame = make_walk_frame(job.world_from_camera.m.data(), map_.voxel_m, map_.truncation_m);
  const auto rays = job.rays;
  walk_batch batch;
  constexpr size_t lag = 8;
  std::array<walk_samples, lag> samples;
  size_t located = 0, added = 0;
  for (size_t first = 0; first < rays.size(); first += walk_batch::most) {
    const size_t count = std::min(walk_batch::most, rays.size() - first);
    setup(frame, rays.subspan(first, count), sign, batch);
    for (size_t i = 0; i < count; ++i)
      for (int32_t k = batch.first[i]; k <= batch.last[i]; k += walk_samples::most) {
        walk_samples& s = samples[located % lag];
        if (located >= lag)
          add(s), ++added;
        find_samples(frame, batch, i, k, sign, s);
        s.axis = batch.axis[i];
        s.first = k;
        s.count = std::min(batch.last[i] - k + 1, walk_samples::most);
        locate(s);
        ++located;
      }
  }
  for (; added < located; ++added)
    add(samples[added % lag]);
}

namespace {

bool all_zero(const block& of) {
  for (size_t i = 0; i < lattice::block_voxels; ++i)
    if ((of.w01[i].w0 | of.w01[i].w1 | of.w2[i]) != 0)
      return false;
  return true;
}

} // namespace

void region_field::integrate(const ray_job& job) {
  begin_job();
  apply(job, job.sign);
  if (!full_)
    return;
  // Out of memory: undo is exact, and what went to the lost block then goes there again.
  apply(job, -job.sign);
  for (const size_t s : fresh_)
    field_[s].reset();
  std::rethrow_exception(std::exchange(full_, nullptr));
}

size_t region_field::count_fresh_blocks(const ray_job& job) {
  begin_job();
  full_ = std::make_exception_ptr(std::bad_alloc{}); // so that none is made
  apply(job, job.sign);
  apply(job, -job.sign);
  full_ = nullptr;
  return lacked_count_;
}

void region_field::undo(const ray_job& job) {
  begin_job();
  past_the_cap_ = true;
  apply(job, -job.sign);
  past_the_cap_ = false;
  // Every block that is all zero goes, whoever made it: others may have used those of the job meanwhile, and be gone by now.
  for (size_t s = 0; s < field_.size(); ++s)
    if (field_[s] && all_zero(*field_[s])) {
      field_[s].reset();
      changes_[s] = UINT8_MAX;
    }
  if (full_)
    std::rethrow_exception(std::exchange(full_, nullptr));
}

void region_field::forget_changes() {
  std::fill(changes_.begin(), changes_.end(), block_changes{0});
}

bool region_field::empty() const {
  return std::all_of(field_.begin(), field_.end(), [](const block_handle& one) { return !one; });
}

field_stats region_field::stats() const {
  if (!stats_)
    stats_ = make_stats();
  return *stats_;
}

field_stats region_field::make_stats() const {
  field_stats out;
  for (int32_t bz = 0; bz < blocks_; ++bz)
    for (int32_t by = 0; by < blocks_; ++by)
      for (int32_t bx = 0; bx < blocks_; ++bx) {
        const block* from = at(bx, by, bz);
        if (from == nullptr)
          continue;
        out.bytes += sizeof(block);
        if (bx == blocks_ - 1 || by == blocks_ - 1 || bz == blocks_ - 1)
          continue; // the apron belongs to the neighbours
        uint64_t observed = 0;
        bool any = false;
        for (int32_t i = 0; i < lattice::block_voxels; ++i) {
          const auto& [w0, w1] = from->w01[static_cast<size_t>(i)];
          const uint64_t w2 = from->w2[static_cast<size_t>(i)];
          if ((w0 | w1 | w2) == 0)
            continue;
          any = true;
          observed += weight_sum(w1) != 0;
          const digest128 d = voxel_digest(origin_[0] + bx * 8 + (i & 7), origin_[1] + by * 8 + (i >> 3 & 7),
                                           origin_[2] + bz * 8 + (i >> 6), w0, w1, w2);
          out.hash += {d.hi, d.lo};
        }
        out.blocks += any;
        out.voxels += observed;
      }
  return out;
}

} // namespace tessera::cpu
