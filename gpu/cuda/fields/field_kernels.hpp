#pragma once
// Rays into the voxels of regions (docs/field.md, "Integrate").

#include "gpu/cuda/fields/field_view.hpp"
#include "gpu/shared/owner.hpp"
#include "gpu/shared/walk.hpp"
#include "messages/ray.hpp"

namespace tessera::cuda {

/// A ray's part in a region: the number of its walk; the region's slot, and in the highest bit whether it is taken away. So
/// recorded work need not know the sign.
struct touch {
  uint32_t ray;
  uint32_t slot_and_sign;
};
inline constexpr uint32_t taken_away = uint32_t{1} << 31;

/// The samples of a ray's walk in slice k within a region: calls visit(x, y, z, distance, weight) for each, with places relative
/// to the region's first voxel. The arithmetic is that of docs/field.md, "Walk".
template <class Visit>
TESSERA_HD void for_each_sample(const walk_frame& frame, const ray_walk& w, const int32_t* origin, int32_t reach, int32_t k,
                                Visit&& visit) {
  const int32_t origin_a = w.axis == 0   ? origin[0]
                           : w.axis == 1 ? origin[1]
                                         : origin[2],
                origin_b = w.axis == 0 ? origin[1] : origin[0], origin_c = w.axis == 2 ? origin[1] : origin[2];
  const int32_t along = k * 256 - w.end_a;
  const int64_t pb = w.end_b * int64_t{256} + slide(along, w.slope_b), pc = w.end_c * int64_t{256} + slide(along, w.slope_c);
  const auto b0 = static_cast<int32_t>(pb >> 16), c0 = static_cast<int32_t>(pc >> 16);
  const auto fb = static_cast<int32_t>(pb >> 12 & 15), fc = static_cast<int32_t>(pc >> 12 & 15);
  const int32_t scaled = -w.direction_a * along + w.direction_b * (w.end_b - b0 * 256) + w.direction_c * (w.end_c - c0 * 256);
  for (int q = 0; q < 4; ++q) {
    const int right = q & 1, up = q >> 1;
    const int32_t b = b0 + right - origin_b, c = c0 + up - origin_c;
    if (b < 0 || c < 0 || b >= reach || c >= reach)
      continue;
    int32_t distance = 0, weight = 0;
    clamp_distance(scaled - right * 256 * w.direction_b - up * 256 * w.direction_c, distance);
    const int32_t share = (right != 0 ? fb : 16 - fb) * (up != 0 ? fc : 16 - fc);
    sample_weight(frame, w.weight, share, distance, weight);
    if (weight == 0)
      continue;
    const int32_t a = k - origin_a;
    visit(w.axis == 0 ? a : b, w.axis == 1 ? a : w.axis == 0 ? b : c, w.axis == 2 ? a : c, distance, weight);
  }
}

/// The slices of a walk that lie in a region.
struct slices {
  int32_t first, last;
  TESSERA_HD slices(const ray_walk& w, const int32_t* origin, int32_t reach) {
    const int32_t from = w.axis == 0 ? origin[0] : w.axis == 1 ? origin[1] : origin[2];
    first = w.first > from ? w.first : from;
    last = w.last < from + reach - 1 ? w.last : from + reach - 1;
  }
};

/// What of a keyframe meets which regions.
struct touch_list {
  ray_walk* walks; ///< by ray
  touch* touches;
  uint32_t most;
};

/// Where peer rays go: a list for each of the other devices, this one left out.
struct peer_lists {
  ray* rays; ///< most_each for each device; null: there are no peers
  uint32_t most_each;
  uint32_t* counts; ///< by share

  [[nodiscard]] TESSERA_HD ray* list_for(uint32_t share, uint32_t own_share) const {
    return rays + uint64_t{share < own_share ? share : share - 1} * most_each;
  }
};

/// The regions that a keyframe is to be written to.
struct chosen_regions {
  const uint64_t* only;   ///< names, ascending; none: all
  uint32_t only_count;    ///< of them
  uint32_t share, shares; ///< this device's, of all; see owner_of()
  uint64_t lost;          ///< likewise

  [[nodiscard]] TESSERA_HD bool has(uint64_t name) const {
    if (only_count == 0)
      return true;
    uint32_t low = 0, high = only_count;
    while (high - low > 1) {
      const uint32_t middle = (low + high) / 2;
      (only[middle] <= name ? low : high) = middle;
    }
    return only[low] == name;
  }
  [[nodiscard]] TESSERA_HD uint32_t owner(int32_t x, int32_t y, int32_t z) const {
    return shares > 1 ? owner_of(x, y, z, shares, lost) : share;
  }
};

/// Item: a ray of a keyframe. Finds the regions that it touches, of those that this device has, and the devices that have others.
struct split_rays {
  field_view field;
  touch_list out;
  walk_frame frame;
  const ray* rays;
  uint32_t* touched_by;      ///< by slot: the last batch that touched the region
  uint32_t batch;            ///< this one; no other has the same number
  uint32_t* touched_regions; ///< slots
  peer_lists to_peers;
  batch_state* state;
  chosen_regions chosen;
  uint32_t sign; ///< 0, or taken_away

  TESSERA_HD void operator()(uint64_t i) const {
    const ray r = rays[i];
    ray_walk w;
    const bool writes = setup_walk(frame, r.x, r.y, r.z, r.points, w);
    out.walks[i] = w;
    if (!writes) {
      append(state->beyond);
      return;
    }
    int32_t low[3], high[3];
    walk_box(w, low, high);
    for (int axis = 0; axis < 3; ++axis) {
      low[axis] = lattice::floor_div(low[axis] - lattice::apron, field.region_voxels);
      high[axis] = lattice::floor_div(high[axis], field.region_voxels);
    }
    uint64_t others = 0; // a bit for each share
    for (int32_t z = low[2]; z <= high[2]; ++z)
      for (int32_t y = low[1]; y <= high[1]; ++y)
        for (int32_t x = low[0]; x <= high[0]; ++x) {
          const uint64_t name = region_name(x, y, z);
          if (!chosen.has(name))
            continue;
          if (const uint32_t owner = chosen.owner(x, y, z); owner != chosen.share)
            others |= uint64_t{1} << owner;
          else
            touch_region(name, static_cast<uint32_t>(i));
        }
    if (to_peers.rays != nullptr)
      for (uint32_t other = 0; others != 0; ++other, others >>= 1)
        if ((others & 1) != 0)
          to_peers.list_for(other, chosen.share)[append(to_peers.counts[other])] = r;
  }

private:
  TESSERA_HD void touch_region(uint64_t name, uint32_t i) const {
    const uint32_t slot = field.slot_of(name);
    if (slot == no_slot) {
      append(state->missing);
      note_missing(name);
      return;
    }
    if (atomic_load(touched_by[slot]) != batch && atomic_exchange(touched_by[slot], batch) != batch)
      touched_regions[append(state->regions)] = slot;
    const uint32_t at = append(state->touches);
    if (at < out.most)
      out.touches[at] = {i, slot | sign};
  }
  TESSERA_HD void note_missing(uint64_t name) const {
    uint64_t* names = state->missing_names;
    uint32_t at = directory_start(name) % batch_state::most_missing;
    for (uint32_t tries = 0; tries < 32; ++tries, at = (at + 1) % batch_state::most_missing) {
      uint64_t seen = atomic_load(names[at]);
      if (seen == 0)
        seen = atomic_replace(names[at], uint64_t{0}, name);
      if (seen == 0 || seen == name)
        return;
    }
  }
};

/// Lanes that share a touch: each does every eighth slice of the ray.
inline constexpr uint32_t touch_lanes = 8;

/// Item: a lane of a touch. Makes the blocks that are written to and missing, all zero as unused blocks are.
struct make_blocks {
  field_view field;
  walk_frame frame; ///< of any pose: only what the settings say is used
  touch_list input;
  batch_state* state;

  TESSERA_HD void operator()(uint64_t i) const {
    if (i / touch_lanes >= input.most)
      return;
    const touch t = input.touches[i / touch_lanes];
    const ray_walk& w = input.walks[t.ray];
    const uint32_t slot = t.slot_and_sign & ~taken_away;
    const int32_t* origin = field.origins + 3 * uint64_t{slot};
    uint32_t* table = field.table_of(slot);
    const slices range(w, origin, field.reach);
    uint32_t last = UINT32_MAX;
    for (int32_t k = range.first + static_cast<int32_t>(i % touch_lanes); k <= range.last; k += static_cast<int32_t>(touch_lanes))
      for_each_sample(frame, w, origin, field.reach, k, [&](int32_t x, int32_t y, int32_t z, int32_t, int32_t) {
        const uint32_t entry = field.entry_of(x, y, z);
        if (entry == last)
          return;
        last = entry;
        if (atomic_load(table[entry]) == no_block && atomic_replace(table[entry], no_block, wanted_block) == no_block)
          atomic_exchange(table[entry], take_block());
      });
  }

private:
  /// An unused block's number + 1; or no_block.
  TESSERA_HD uint32_t take_block() const {
    const auto left = static_cast<int32_t>(atomic_add(*field.free_count, ~uint32_t{0}));
    if (left > 0) {
      append(state->fresh);
      return field.free[left - 1] + 1;
    }
    atomic_add(*field.free_count, 1u);
    append(state->wanting);
    return no_block;
  }
};

/// Where keyframes note the regions that they change. Each is noted once, however many touch it.
struct changed_regions {
  uint32_t* noted; ///< by slot: not 0 if it is on the list
  uint32_t* slots;
  uint32_t* count; ///< null: nothing is noted

  TESSERA_HD void note(uint32_t slot) const {
    if (atomic_exchange(noted[slot], 1u) == 0)
      slots[append(*count)] = slot;
  }
};

/// Item: a lane of a touch. Adds the ray's samples to the region, or takes them away.
struct add_touches {
  field_view field;
  walk_frame frame; ///< of any pose
  touch_list input;
  const ray* rays;
  batch_state* state;
  changed_regions changed;
  const uint32_t* touched_regions; ///< which to note there; fewer than touches

  TESSERA_HD void operator()(uint64_t i) const {
    if (i == 0)
      state->free_left = *field.free_count;
    if (!state->goes_ahead(input.most))
      return;
    if (changed.count != nullptr && i < state->regions)
      changed.note(touched_regions[i]);
    const touch t = input.touches[i / touch_lanes];
    const ray_walk& w = input.walks[t.ray];
    const uint32_t slot = t.slot_and_sign & ~taken_away;
    const uint64_t sign = (t.slot_and_sign & taken_away) != 0 ? ~uint64_t{0} : 1;
    const int32_t* origin = field.origins + 3 * uint64_t{slot};
    const uint32_t* table = field.table_of(slot);
    const ray& r = rays[t.ray];
    const slices range(w, origin, field.reach);
    for (int32_t k = range.first + static_cast<int32_t>(i % touch_lanes); k <= range.last; k += static_cast<int32_t>(touch_lanes))
      for_each_sample(frame, w, origin, field.reach, k, [&](int32_t x, int32_t y, int32_t z, int32_t distance, int32_t weight) {
        const voxel_words add = pack_sample(distance, weight, r.r, r.g, r.b);
        voxel_words& to = field.words[(table[field.entry_of(x, y, z)] - 1) * uint64_t{512}
                                      + static_cast<uint32_t>(lattice::voxel_in_block(x, y, z))];
        atomic_add(to.w0, add.w0 * sign);
        atomic_add(to.w1, add.w1 * sign);
        atomic_add(to.w2, add.w2 * sign);
      });
  }
};

} // namespace tessera::cuda
