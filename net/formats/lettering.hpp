#pragma once
// The letters of pictures: printable ASCII, small enough to be part of the program. A library that draws text (Cairo, FreeType)
// would bring a dozen others into images and bundles, and a font from the machine, with which the same slice would be other bytes
// elsewhere.

#include <cstdint>
#include <string_view>

namespace tessera {

/// A letter, in pixels.
struct letter {
  int32_t advance;       ///< from its beginning to that of the next one
  int32_t left, top;     ///< of its first pixel: from its beginning, and above the line that it stands on
  int32_t width;         ///< of a row of pixels
  std::string_view rows; ///< how much ink each pixel gets, 0 to f; from the top
};

/// Height of a capital letter, pixels.
inline constexpr int32_t letter_height = 9;

/// Anything but printable ASCII is a question mark.
const letter& letter_of(char c);

/// Pixels that a text takes.
int32_t width_of(std::string_view text);

} // namespace tessera
