#pragma once
// The second half of docs/cells.md: which bits tell where edges are crossed, and the colours there. Writing and reading are one
// and the same walk.

#include "net/formats/bit_stream.hpp"
#include "net/formats/region_cells.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

namespace tessera {

/// The walk through one patch's edges, block by block.
template <class Bits>
class edges_model {
public:
  static constexpr bool reads = std::is_same_v<Bits, bit_reader>;
  explicit edges_model(Bits& bits) : bits_(bits) {}

  /// Codes the edges of a touched block in their order; of those to read, `edge` says already which they are.
  void code(std::span<std::conditional_t<reads, crossed_edge, const crossed_edge>> edges) {
    near_.fill(0);
    if constexpr (!reads)
      bits_.reserve(most_bits * edges.size());
    for (auto& edge : edges) {
      if constexpr (reads) {
        edge.fraction = static_cast<uint8_t>(bits_.get(5));
        if (edge.fraction == 0)
          throw std::invalid_argument("payload: edge " + std::to_string(edge.edge) + " is crossed at its end");
      } else {
        bits_.put(edge.fraction, 5);
      }
      code_colour(edge.edge / 3u, edge.colour);
    }
  }

private:
  template <class Colour>
  void code_colour(uint32_t place, Colour& colour) {
    // The newest vertices at this voxel and around it, of this block; each channel has a byte.
    auto* near = &near_[111 + (place & 7) + 10 * (place >> 3 & 7) + 100 * (place >> 6)];
    // Backwards, and without branches, since nobody guesses which are there.
    constexpr std::ptrdiff_t around[] = {-90, -110, -99, -101, -9, -11, -100, -10, -1, 0};
    uint32_t first = 0, second = 0;
    for (const auto step : around) {
      const auto there = near[step];
      second = there != 0 ? first : second;
      first = there != 0 ? there : first;
    }
    const size_t found = (first != 0 ? 1u : 0u) + (second != 0 ? 1u : 0u);
    const auto expected = second != 0 ? (first + second + 0x010101) >> 1 & 0x7f7f7f : first != 0 ? first : last_;
    const auto channel = [&](uint32_t i) { return static_cast<int>(expected >> 8 * i & 255); };
    const auto green_off = code_level(green_[found], channel(1), colour[1]);
    const auto red_off = code_level(red_[static_cast<size_t>(std::min(std::abs(green_off), 2))],
                                    std::clamp(channel(0) + green_off, 0, 51), colour[0]);
    if constexpr (!reads)
      bits_.make_room(most_zeros + 7);
    code_level(blue_[static_cast<size_t>(std::min(std::abs(red_off), 2))], std::clamp(channel(2) + green_off, 0, 51), colour[2]);
    if constexpr (!reads)
      bits_.flush();
    last_ = uint32_t{colour[0]} | uint32_t{colour[1]} << 8 | uint32_t{colour[2]} << 16;
    *near = last_ | 1u << 24;
  }

  /// Codes how far a channel is off what was expected: 0, 1, -1, 2, -2, ... are the numbers 0, 1, 2, 3, 4, ..., which are written
  /// in Rice's code for their mean of late, kept in 8ths.
  template <class Level>
  int code_level(uint32_t& mean, int expected, Level& level) {
    const auto low_bits = static_cast<uint32_t>(std::bit_width(mean >> 4));
    uint32_t number = 0;
    int off = 0;
    if constexpr (reads) {
      const auto high = bits_.zeros(most_zeros);
      number = high < most_zeros ? high << low_bits | bits_.get(low_bits) : bits_.get(7);
      off = (number & 1) != 0 ? static_cast<int>(number + 1) / 2 : -static_cast<int>(number / 2);
      if (expected + off < 0 || expected + off > 51)
        throw std::invalid_argument("payload: a colour of " + std::to_string(expected + off) + ", not 0 to 51");
      level = static_cast<uint8_t>(expected + off);
    } else {
      off = level - expected;
      number = static_cast<uint32_t>(off > 0 ? 2 * off - 1 : -2 * off);
      const auto high = number >> low_bits;
      if (high < most_zeros)
        bits_.put(1u << low_bits | (number & ((1u << low_bits) - 1)), high + 1 + low_bits);
      else
        bits_.put(number, most_zeros + 7);
    }
    mean += number - (mean >> 3);
    return off;
  }

  static constexpr uint32_t most_zeros = 12, most_bits = 5 + 3 * (most_zeros + 7);
  Bits& bits_;
  std::array<uint32_t, 1000> near_{}; ///< of 10^3 voxels, the block's from (1, 1, 1) on: colour of the newest vertex; 0: none
  uint32_t last_ = 26 | 26 << 8 | 26 << 16;
  std::array<uint32_t, 3> green_{16, 16, 16}, red_{16, 16, 16}, blue_{16, 16, 16};
};

} // namespace tessera
