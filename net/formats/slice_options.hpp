#pragma once
// What a picture of a slice is to show, as a command line and a query say it.

#include "messages/slice.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tessera {

struct slice_options {
  enum class quantity { distance, weight, colour, all };

  uint8_t axis = 2;
  double at_m = 0; ///< on that axis
  quantity show = quantity::all;
  /// The part of the plane to show, in metres on its two axes: from the first to the second on the first one, then the same of
  /// the other. Nothing: all that is observed.
  std::optional<std::array<std::array<double, 2>, 2>> area_m;
  uint32_t size = 640; ///< pixels of the longer side of each panel, at most
  bool dark = false;   ///< for a dark page
};

/// One of them.
struct slice_option {
  std::string_view name;
  std::string_view value; ///< what it looks like: words, a bar between them, or a name in capital letters
  std::string_view help;
  void (*read)(std::string_view text, slice_options& into);
};

/// All of them; only `at` must be given.
std::span<const slice_option> slice_option_table();

/// Reads what one of them is to be. Throws bad_input that names it, its value and the bound.
void read_slice_option(const slice_option& which, std::string_view text, slice_options& into);

/// The voxels that are wanted of a map: the layer that is nearest to the plane. Throws bad_input if it lies beyond the map.
field_plane plane_of(const slice_options& options, float voxel_m);

/// Why nothing can be shown, though the options are good; empty if it can. `most` is most_slice_regions().
std::string fault_of_slice(const field_slice& slice, const slice_options& options, uint64_t most);

/// "z = 1.2 m".
std::string place_text(const slice_options& options);

} // namespace tessera
