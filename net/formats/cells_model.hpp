#pragma once
// The first half of docs/cells.md: which decisions tell a region's cells, in which order and in which contexts. Writing and
// reading are one and the same walk.

#include "net/formats/cell_tables.hpp"
#include "net/formats/range_coder.hpp"
#include "net/formats/region_cells.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace tessera {

/// Codes decisions by writing them.
class decision_writer {
public:
  static constexpr bool reads = false;
  explicit decision_writer(std::vector<std::byte> to) : coder_(std::move(to)) {}
  uint32_t decide(bit_context& context, uint32_t bit) {
    coder_.put(context, bit);
    return bit;
  }
  uint32_t plain(uint32_t value, uint32_t bits) {
    coder_.put_plain(value, bits);
    return value;
  }
  std::vector<std::byte> finish() { return coder_.finish(); }

private:
  range_encoder coder_;
};

/// Codes decisions by reading them: what it is given is not looked at.
class decision_reader {
public:
  static constexpr bool reads = true;
  explicit decision_reader(std::span<const std::byte> from) : coder_(from) {}
  uint32_t decide(bit_context& context, uint32_t) { return coder_.get(context); }
  uint32_t plain(uint32_t, uint32_t bits) { return coder_.get_plain(bits); }
  [[nodiscard]] size_t left() const { return coder_.left(); }

private:
  range_decoder coder_;
};

/// The walk through one patch's cells: touch(), and then the cells of all touched blocks.
template <class Coder>
class cells_model {
  static_assert(std::endian::native == std::endian::little, "two corners are read at once");

public:
  /// The cases of a block's cells by their place; 0: no triangles.
  using block_cases = std::array<uint8_t, 512>;

  cells_model(Coder& coder, int32_t region_voxels)
    : coder_(coder), blocks_(static_cast<uint32_t>(region_voxels) / 8), slots_per_axis_(blocks_ + 1),
      row_(static_cast<size_t>(region_voxels) + 3), step_{1, row_, row_ * row_},
      voxels_(std::make_unique_for_overwrite<uint8_t[]>(row_ * row_ * row_)),
      rank_of_(size_t{slots_per_axis_} * slots_per_axis_ * slots_per_axis_, none) {
    for (size_t c = 0; c < cell_tables::corners; ++c)
      corner_[c] = (c & 1) + (c >> 1 & 1) * step_[1] + (c >> 2) * step_[2];
  }

  [[nodiscard]] uint32_t slots() const { return static_cast<uint32_t>(rank_of_.size()); }
  [[nodiscard]] uint32_t slots_per_axis() const { return slots_per_axis_; }

  /// Codes which blocks are touched: `touched(slot)` if it is written, not called if it is read. Returns their slots.
  template <class Touched>
  std::vector<uint32_t> touch(const Touched& touched) {
    std::vector<uint32_t> out;
    for (uint32_t z = 0, slot = 0; z < slots_per_axis_; ++z)
      for (uint32_t y = 0; y < slots_per_axis_; ++y)
        for (uint32_t x = 0; x < slots_per_axis_; ++x, ++slot) {
          const auto is_touched = [&](uint32_t coordinate, uint32_t back) -> uint32_t {
            return coordinate > 0 && rank_of_[slot - back] != none ? 1 : 0;
          };
          const auto context
            = is_touched(x, 1) | is_touched(y, slots_per_axis_) << 1 | is_touched(z, slots_per_axis_ * slots_per_axis_) << 2;
          uint32_t bit = 0;
          if constexpr (!Coder::reads)
            bit = touched(slot) ? 1 : 0;
          if (coder_.decide(touched_[context], bit) != 0) {
            rank_of_[slot] = static_cast<uint32_t>(out.size());
            out.push_back(slot);
            forget(x, y, z);
          }
        }
    queues_ = std::make_unique_for_overwrite<uint16_t[]>(512 * out.size());
    queued_.assign(out.size(), 0);
    return out;
  }

  /// Codes the cells of a touched block; those that lie beyond the region's far faces have none.
  void code_cells(uint32_t slot, block_cases& cases) {
    const auto block = place_of(slot);
    if (std::max({block.x, block.y, block.z}) == blocks_)
      return;
    [[maybe_unused]] uint32_t left = 0; // to write
    if constexpr (!Coder::reads)
      left = static_cast<uint32_t>(512 - std::count(cases.begin(), cases.end(), uint8_t{0}));
    const auto rank = rank_of_[slot];
    uint32_t taken = 0, lowest = 0;
    for (uint32_t parts = 0;; parts = std::min(parts + 1, 3u)) {
      while (taken < queued_[rank]) {
        const auto place = queues_[512 * size_t{rank} + taken++];
        auto* voxel = &voxels_[voxel_of(block, place)];
        uint32_t around = 0;
        for (const auto step : step_)
          around += (voxel[step] & (no_triangles | triangles)) + (*(voxel - step) & (no_triangles | triangles));
        const auto without = std::min(around % triangles / no_triangles, 3u), with = std::min(around / triangles, 3u);
        if (coder_.decide(active_[4 * without + with], cases[place] != 0) == 0) {
          *voxel |= no_triangles;
          continue;
        }
        code_case(slot, place, voxel, cases);
        --left;
      }
      if (coder_.decide(more_[parts], left != 0) == 0)
        return;
      if constexpr (!Coder::reads)
        while (cases[lowest] == 0 || (voxels_[voxel_of(block, lowest)] & triangles) != 0)
          ++lowest;
      const auto place = coder_.plain(lowest, 9);
      auto* voxel = &voxels_[voxel_of(block, place)];
      if (Coder::reads && (*voxel & queued) != 0)
        throw std::invalid_argument("payload: cell " + std::to_string(place) + " of block " + std::to_string(slot)
                                    + " comes a second time");
      *voxel |= queued;
      code_case(slot, place, voxel, cases);
      --left;
    }
  }

private:
  static constexpr uint32_t none = UINT32_MAX;
  // What is known of a voxel: its side, and of the cell whose lowest corner it is.
  static constexpr uint8_t outside = 1, inside = 2, side = 3, queued = 4, no_triangles = 8, triangles = 128;

  struct block_place {
    uint32_t x, y, z;
  };
  [[nodiscard]] block_place place_of(uint32_t slot) const {
    return {slot % slots_per_axis_, slot / slots_per_axis_ % slots_per_axis_, slot / slots_per_axis_ / slots_per_axis_};
  }
  /// One voxel more than the region's corners on each side, so that every neighbour is there.
  [[nodiscard]] size_t voxel_of(const block_place& block, uint32_t place) const {
    return (8 * block.x + (place & 7) + 1) + (8 * block.y + (place >> 3 & 7) + 1) * step_[1]
           + (8 * block.z + (place >> 6) + 1) * step_[2];
  }

  /// The lowest bits of 8 bytes, that of the first byte lowest.
  static constexpr uint64_t each_byte = 0x0101010101010101;
  static uint32_t bits_of(uint64_t lowest) { return static_cast<uint32_t>(lowest * 0x0102040810204080 >> 56); }

  /// Nothing is known of a block's voxels and of those around it. Other voxels are never looked at.
  void forget(uint32_t x, uint32_t y, uint32_t z) {
    constexpr size_t across = 10;
    const auto end = [&](uint32_t block) { return std::min<size_t>(8 * size_t{block} + across, row_); };
    for (size_t k = 8 * size_t{z}; k < end(z); ++k)
      for (size_t j = 8 * size_t{y}; j < end(y); ++j) {
        auto* row = &voxels_[8 * size_t{x} + j * step_[1] + k * step_[2]];
        if (x < blocks_)
          std::memset(row, 0, across); // two stores
        else
          std::memset(row, 0, row_ - 8 * size_t{x});
      }
  }

  void code_case(uint32_t slot, uint32_t place, uint8_t* voxel, block_cases& cases) {
    const uint32_t known = Coder::reads ? 0u : cases[place];
    // The sides of all corners, a byte each: two that follow each other along x lie side by side.
    uint64_t sides = 0;
    for (uint32_t c = 0; c < 8; c += 2) {
      uint16_t two = 0;
      std::memcpy(&two, voxel + corner_[c], sizeof two);
      sides |= uint64_t{two} << 8 * c;
    }
    sides &= each_byte * side;
    auto now = bits_of(sides >> 1 & each_byte);
    for (auto missing = bits_of(~(sides | sides >> 1) & each_byte); missing != 0; missing &= missing - 1) {
      const auto c = static_cast<uint32_t>(std::countr_zero(missing));
      const auto side_of = [&](uint32_t corner) { return static_cast<uint32_t>(sides >> 8 * corner) & side; };
      const auto context = 9 * side_of(c ^ 1) + 3 * side_of(c ^ 2) + side_of(c ^ 4);
      const auto is_inside = coder_.decide(corners_[context], known >> c & 1);
      sides |= uint64_t{outside + is_inside} << 8 * c;
      voxel[corner_[c]] = static_cast<uint8_t>(voxel[corner_[c]] | (outside + is_inside));
      now |= is_inside << c;
    }
    if constexpr (Coder::reads) {
      if (now == 0 || now == 255)
        throw std::invalid_argument("payload: cell " + std::to_string(place) + " of block " + std::to_string(slot)
                                    + " has all corners on one side");
      cases[place] = static_cast<uint8_t>(now);
    } else if (now != known) {
      throw std::invalid_argument("cells: cell " + std::to_string(place) + " of block " + std::to_string(slot)
                                  + " disagrees with another about a corner");
    }
    *voxel |= triangles;
    // The surface goes on through these faces, unless what is there was not observed.
    uint32_t faces = cell_tables::crossed_faces[now];
    for (uint32_t axis = 0; axis < 3; ++axis) {
      faces &= ~((*(voxel - step_[axis]) & queued) != 0 ? 1u << 2 * axis : 0u);
      faces &= ~((voxel[step_[axis]] & queued) != 0 ? 2u << 2 * axis : 0u);
    }
    for (; faces != 0; faces &= faces - 1) {
      const auto face = static_cast<uint32_t>(std::countr_zero(faces)), axis = face / 2;
      const auto at = place >> 3 * axis & 7, step = 1u << 3 * axis;
      if (face % 2 == 0) {
        if (at > 0)
          queue(rank_of_[slot], voxel - step_[axis], place - step);
      } else if (at < 7) {
        queue(rank_of_[slot], voxel + step_[axis], place + step);
      } else if (const auto next = rank_behind(slot, axis); next != none) {
        queue(next, voxel + step_[axis], place - 7 * step);
      }
    }
  }

  /// The touched block behind another along an axis, if it can have cells.
  [[nodiscard]] uint32_t rank_behind(uint32_t slot, uint32_t axis) const {
    const uint32_t step = axis == 0 ? 1 : axis == 1 ? slots_per_axis_ : slots_per_axis_ * slots_per_axis_;
    return slot / step % slots_per_axis_ + 1 < blocks_ ? rank_of_[slot + step] : none;
  }

  void queue(uint32_t rank, uint8_t* voxel, uint32_t place) {
    *voxel |= queued;
    queues_[512 * size_t{rank} + queued_[rank]++] = static_cast<uint16_t>(place);
  }

  Coder& coder_;
  uint32_t blocks_, slots_per_axis_;
  size_t row_;
  std::array<size_t, 3> step_;
  std::array<size_t, 8> corner_{};
  std::unique_ptr<uint8_t[]> voxels_;
  std::vector<uint32_t> rank_of_;      ///< of each slot, among the touched blocks
  std::unique_ptr<uint16_t[]> queues_; ///< of each touched block: places of cells that the surface reaches
  std::vector<uint16_t> queued_;

  std::array<bit_context, 8> touched_;
  std::array<bit_context, 16> active_;
  std::array<bit_context, 4> more_;
  std::array<bit_context, 27> corners_;
};

} // namespace tessera
