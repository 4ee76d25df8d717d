#include "gpu/cpu/region_field.hpp"

#include "gpu/cpu/clones.hpp"

#include "gpu/shared/digest.hpp"

#include <new>

namespace tessera::cpu {

region_field::region_field(const mapping& map, region_key key, block_pool& pool)
    : map_(map), key_(key), pool_(pool), edge_(static_cast<int32_t>(map.region_voxels)), reach_(edge_ + lattice::apron),
      blocks_(edge_ / lattice::block_edge + 1), origin_{key.x * edge_, key.y * edge_, key.z * edge_} {
  const auto slots = static_cast<size_t>(blocks_) * blocks_ * blocks_;
  field_.resize(slots);
  meshes_.resize(slots);
  dirty_.resize(slots);
}

const block* region_field::at(int32_t bx, int32_t by, int32_t bz) const {
  if (bx < 0 || by < 0 || bz < 0 || bx >= blocks_ || by >= blocks_ || bz >= blocks_)
    return nullptr;
  return field_[slot(bx, by, bz)].get();
}

/// Makes a block. When memory runs out, all that is written to missing blocks from then on goes to one that is thrown away.
block& region_field::make_block(size_t s) {
  thread_local block lost;
  if (full_)
    return lost;
  try {
    fresh_.push_back(s);
    field_[s] = block_handle(pool_.take(), block_return{&pool_});
    return *field_[s];
  } catch (const std::bad_alloc&) {
    full_ = true;
    return lost;
  }
}

namespace {

/// Dirty bits (see region_field::dirty_) of one voxel, or of two voxels in a row, by their place along an axis.
constexpr uint8_t one_voxel[3][8] = {{3, 1, 1, 1, 1, 1, 1, 5}, {9, 1, 1, 1, 1, 1, 1, 17}, {33, 1, 1, 1, 1, 1, 1, 65}};
constexpr uint8_t two_voxels[3][8] = {{3, 1, 1, 1, 1, 1, 5, 5}, {9, 1, 1, 1, 1, 1, 17, 17}, {33, 1, 1, 1, 1, 1, 65, 65}};

} // namespace

/// What the samples of up to eight slices add: the voxels (b0, c0), (b0 + 1, c0), (b0, c0 + 1), (b0 + 1, c0 + 1) of each.
struct region_field::slices {
  static constexpr int32_t most = 8;
  alignas(64) int32_t b0[most], c0[most];
  alignas(64) uint64_t w0[4][most], w1[4][most], w2[4][most];
};

/// A ray and the constants of its walk through a region.
struct region_field::walk_constants {
  int32_t end_a, end_b, end_c;                   ///< end point, 1/256 voxel; b and c from the region's origin on
  int32_t direction_a, direction_b, direction_c; ///< see ray_walk
  int32_t slope_b, slope_c, weight;
  uint64_t colour_1, colour_2, sign;
};

/// Samples of slices k, k + 1 .. (docs/field.md, "Walk"). Those past the ray's last slice are computed and not used.
[[gnu::always_inline]] inline void region_field::find_samples(const walk_frame& frame, const walk_constants& w, int32_t k, slices& out) {
  alignas(64) int32_t along[slices::most], fb[slices::most], fc[slices::most], distance[4][slices::most], weight[4][slices::most];
  for (int32_t n = 0; n < slices::most; ++n) {
    along[n] = (k + n) * 256 - w.end_a;
    const int32_t pb = w.end_b * 256 + slide(along[n], w.slope_b), pc = w.end_c * 256 + slide(along[n], w.slope_c);
    out.b0[n] = pb >> 16;
    out.c0[n] = pc >> 16;
    fb[n] = pb >> 12 & 15;
    fc[n] = pc >> 12 & 15;
  }
  for (int q = 0; q < 4; ++q) {
    const int i = q & 1, j = q >> 1;
    for (int32_t n = 0; n < slices::most; ++n) {
      const int32_t scaled = -w.direction_a * along[n] + w.direction_b * (w.end_b - (out.b0[n] + i) * 256)
                             + w.direction_c * (w.end_c - (out.c0[n] + j) * 256);
      distance[q][n] = clamp_distance(scaled);
      weight[q][n] = sample_weight(frame, w.weight, (i ? fb[n] : 16 - fb[n]) * (j ? fc[n] : 16 - fc[n]), distance[q][n]);
    }
    for (int32_t n = 0; n < slices::most; ++n) {
      const uint64_t any = weight[q][n] != 0 ? ~uint64_t{0} : 0; // a weight of 0 adds nothing at all
      const uint64_t w0 = ((static_cast<uint64_t>(static_cast<int64_t>(distance[q][n] * weight[q][n])) << 24) + 1) & any;
      const uint64_t w1 = (w.colour_1 | static_cast<uint32_t>(weight[q][n])) & any, w2 = w.colour_2 & any;
      out.w0[q][n] = (w0 ^ w.sign) - w.sign; // x or -x
      out.w1[q][n] = (w1 ^ w.sign) - w.sign;
      out.w2[q][n] = (w2 ^ w.sign) - w.sign;
    }
  }
}

/// Walks one ray.
template <int Axis>
[[gnu::always_inline]] inline void region_field::walk(const walk_frame& frame, const ray_walk& ray, const voxel_words& colour, uint64_t sign) {
  constexpr int a = Axis, b = Axis == 0 ? 1 : 0, c = Axis == 2 ? 1 : 2;
  constexpr int shift[3] = {0, 3, 6};
  const int32_t stride[3] = {1, blocks_, blocks_ * blocks_};
  const int32_t reach = reach_;
  auto* const field = field_.data();
  auto* const dirty = dirty_.data();
  const int32_t first = ray.first > origin_[a] ? ray.first : origin_[a];
  const int32_t last = ray.last < origin_[a] + reach_ - 1 ? ray.last : origin_[a] + reach_ - 1;
  const walk_constants w{ray.end[a],
                         ray.end[b] - origin_[b] * 256,
                         ray.end[c] - origin_[c] * 256,
                         ray.direction[a],
                         ray.direction[b],
                         ray.direction[c],
                         ray.slope[0],
                         ray.slope[1],
                         ray.weight,
                         colour.w1,
                         colour.w2,
                         sign};
  slices s;
  for (int32_t k0 = first; k0 <= last; k0 += slices::most) {
    find_samples(frame, w, k0, s);
    const int32_t count = last - k0 + 1 < slices::most ? last - k0 + 1 : slices::most;
    for (int32_t n = 0; n < count; ++n) {
      const int32_t b0 = s.b0[n], c0 = s.c0[n], ka = k0 + n - origin_[a];
      if (b0 < -1 || c0 < -1 || b0 >= reach || c0 >= reach)
        continue;
      const int32_t slot_a = (ka >> 3) * stride[a], voxel_a = (ka & 7) << shift[a];
      const auto add = [&](block& to, int q, int32_t voxel) {
        block::front& front = to.w01[static_cast<size_t>(voxel)];
        front.w0 += s.w0[q][n];
        front.w1 += s.w1[q][n];
        to.w2[static_cast<size_t>(voxel)] += s.w2[q][n];
      };
      // Mostly all four voxels lie in one block, which exists.
      const bool together = b0 >= 0 && c0 >= 0 && (b0 & 7) < 7 && (c0 & 7) < 7 && b0 + 1 < reach && c0 + 1 < reach;
      const size_t s00 = together ? static_cast<size_t>(slot_a + (b0 >> 3) * stride[b] + (c0 >> 3) * stride[c]) : 0;
      if (together && field[s00]) [[likely]] {
        block& to = *field[s00];
        dirty[s00] |= static_cast<uint8_t>(one_voxel[a][ka & 7] | two_voxels[b][b0 & 7] | two_voxels[c][c0 & 7]);
        const int32_t voxel = voxel_a | (b0 & 7) << shift[b] | (c0 & 7) << shift[c];
        add(to, 0, voxel);
        add(to, 1, voxel + (1 << shift[b]));
        add(to, 2, voxel + (1 << shift[c]));
        add(to, 3, voxel + (1 << shift[b]) + (1 << shift[c]));
        continue;
      }
      for (int q = 0; q < 4; ++q) {
        const int32_t vb = b0 + (q & 1), vc = c0 + (q >> 1);
        if (vb < 0 || vc < 0 || vb >= reach || vc >= reach || s.w0[q][n] == 0)
          continue; // makes no block for nothing
        const auto slot = static_cast<size_t>(slot_a + (vb >> 3) * stride[b] + (vc >> 3) * stride[c]);
        dirty[slot] |= static_cast<uint8_t>(one_voxel[a][ka & 7] | one_voxel[b][vb & 7] | one_voxel[c][vc & 7]);
        add(field[slot] ? *field[slot] : make_block(slot), q, voxel_a | (vb & 7) << shift[b] | (vc & 7) << shift[c]);
      }
    }
  }
}

TESSERA_CLONES void region_field::apply(const ray_job& job, uint64_t sign) {
  const walk_frame frame = make_walk_frame(job.world_from_camera.m.data(), map_.voxel_m, map_.truncation_m);
  for (const ray& r : std::span(*job.batch.rays).subspan(job.first, job.count)) {
    ray_walk w;
    if (!setup_walk(frame, r.x, r.y, r.z, r.points, w))
      continue;
    const voxel_words colour = pack_sample(0, 0, r.r, r.g, r.b);
    switch (w.axis) {
      case 0: walk<0>(frame, w, colour, sign); break;
      case 1: walk<1>(frame, w, colour, sign); break;
      default: walk<2>(frame, w, colour, sign);
    }
  }
}

void region_field::integrate(std::span<const ray_job> jobs) {
  const auto sign_of = [](int32_t sign) { return sign < 0 ? ~uint64_t{0} : uint64_t{0}; };
  fresh_.clear();
  full_ = false;
  for (const ray_job& job : jobs)
    apply(job, sign_of(job.sign));
  if (!full_)
    return;
  // Out of memory: undo is exact, and what went to the lost block then goes there again.
  for (const ray_job& job : jobs)
    apply(job, sign_of(-job.sign));
  for (const size_t s : fresh_)
    field_[s].reset();
  throw std::bad_alloc{};
}

field_stats region_field::stats() const {
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
          const digest128 d = voxel_digest(origin_[0] + bx * 8 + (i & 7), origin_[1] + by * 8 + (i >> 3 & 7), origin_[2] + bz * 8 + (i >> 6),
                                           w0, w1, w2);
          out.hash += {d.hi, d.lo};
        }
        out.blocks += any;
        out.voxels += observed;
      }
  return out;
}

} // namespace tessera::cpu
