#include "gpu/cpu/region_field.hpp"

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

/// Walks one ray.
template <int Axis>
void region_field::walk(const walk_frame& frame, const ray_walk& w, uint64_t colour_1, uint64_t colour_2, uint64_t sign) {
  constexpr int a = Axis, b = Axis == 0 ? 1 : 0, c = Axis == 2 ? 1 : 2;
  constexpr int shift[3] = {0, 3, 6};
  const int32_t stride[3] = {1, blocks_, blocks_ * blocks_};
  const int32_t stride_a = stride[a], stride_b = stride[b], stride_c = stride[c], reach = reach_;
  const int32_t direction_b = w.direction[b], direction_c = w.direction[c], ray_weight = w.weight;
  const int32_t slope_b = w.slope[0], slope_c = w.slope[1];
  auto* const field = field_.data();
  auto* const dirty = dirty_.data();
  const int32_t first = w.first > origin_[a] ? w.first : origin_[a];
  const int32_t last = w.last < origin_[a] + reach_ - 1 ? w.last : origin_[a] + reach_ - 1;
  const int32_t end_b = w.end[b] - origin_[b] * 256, end_c = w.end[c] - origin_[c] * 256;
  for (int32_t k = first; k <= last; ++k) {
    const int32_t along = k * 256 - w.end[a];
    const int32_t pb = end_b * 256 + slide(along, slope_b), pc = end_c * 256 + slide(along, slope_c);
    const int32_t b0 = pb >> 16, c0 = pc >> 16, fb = pb >> 12 & 15, fc = pc >> 12 & 15;
    if (b0 < -1 || c0 < -1 || b0 >= reach || c0 >= reach)
      continue;
    const int32_t ka = k - origin_[a];
    const int32_t base = -w.direction[a] * along;
    const int32_t slot_a = (ka >> 3) * stride_a, voxel_a = (ka & 7) << shift[a];
    // Samples of one slice: distance and weight, then the three sums.
    const auto write = [&](block& to, int32_t vb, int32_t vc, int32_t share) {
      const int32_t distance = clamp_distance(base + direction_b * (end_b - vb * 256) + direction_c * (end_c - vc * 256));
      const int32_t weight = sample_weight(frame, ray_weight, share, distance);
      if (weight == 0)
        return;
      const auto voxel = static_cast<size_t>(voxel_a | (vb & 7) << shift[b] | (vc & 7) << shift[c]);
      // (x ^ sign) - sign is x or -x.
      const uint64_t w0 = (static_cast<uint64_t>(static_cast<int64_t>(distance) * weight) << 24) + 1;
      const uint64_t w1 = colour_1 | static_cast<uint32_t>(weight);
      to.w01[voxel].w0 += (w0 ^ sign) - sign;
      to.w01[voxel].w1 += (w1 ^ sign) - sign;
      to.w2[voxel] += (colour_2 ^ sign) - sign;
    };
    const auto slot_at = [&](int32_t vb, int32_t vc) {
      return static_cast<size_t>(slot_a + (vb >> 3) * stride_b + (vc >> 3) * stride_c);
    };
    // Mostly all four voxels lie in one block, which exists.
    const bool together = b0 >= 0 && c0 >= 0 && (b0 & 7) < 7 && (c0 & 7) < 7 && b0 + 1 < reach && c0 + 1 < reach;
    const size_t s00 = together ? slot_at(b0, c0) : 0;
    if (together && field[s00]) [[likely]] {
      block& to = *field[s00];
      dirty[s00] |= static_cast<uint8_t>(one_voxel[a][ka & 7] | two_voxels[b][b0 & 7] | two_voxels[c][c0 & 7]);
      write(to, b0, c0, (16 - fb) * (16 - fc));
      write(to, b0 + 1, c0, fb * (16 - fc));
      write(to, b0, c0 + 1, (16 - fb) * fc);
      write(to, b0 + 1, c0 + 1, fb * fc);
      continue;
    }
    for (int j = 0; j < 2; ++j)
      for (int i = 0; i < 2; ++i) {
        const int32_t vb = b0 + i, vc = c0 + j, share = (i ? fb : 16 - fb) * (j ? fc : 16 - fc);
        if (vb < 0 || vc < 0 || vb >= reach || vc >= reach)
          continue;
        const int32_t distance = clamp_distance(base + direction_b * (end_b - vb * 256) + direction_c * (end_c - vc * 256));
        if (sample_weight(frame, ray_weight, share, distance) == 0)
          continue; // makes no block for nothing
        const size_t s = slot_at(vb, vc);
        dirty[s] |= static_cast<uint8_t>(one_voxel[a][ka & 7] | one_voxel[b][vb & 7] | one_voxel[c][vc & 7]);
        write(field[s] ? *field[s] : make_block(s), vb, vc, share);
      }
  }
}

void region_field::apply(const ray_job& job, uint64_t sign) {
  const walk_frame frame = make_walk_frame(job.world_from_camera.m.data(), map_.voxel_m, map_.truncation_m);
  for (const ray& r : std::span(*job.batch.rays).subspan(job.first, job.count)) {
    ray_walk w;
    if (!setup_walk(frame, r.x, r.y, r.z, r.points, w))
      continue;
    const voxel_words colour = pack_sample(0, 0, r.r, r.g, r.b);
    switch (w.axis) {
      case 0: walk<0>(frame, w, colour.w1, colour.w2, sign); break;
      case 1: walk<1>(frame, w, colour.w1, colour.w2, sign); break;
      default: walk<2>(frame, w, colour.w1, colour.w2, sign);
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
