#pragma once
// A picture that is drawn pixel by pixel.

#include "net/formats/image.hpp"

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>

namespace tessera {

/// sRGB.
using ink = std::array<uint8_t, 3>;

/// Between two colours: `share` of the second.
ink between(const ink& first, const ink& second, float share);

/// Pixels from (left, top) on.
struct pixel_box {
  int32_t left = 0, top = 0, width = 0, height = 0;
  [[nodiscard]] int32_t right() const { return left + width; }
  [[nodiscard]] int32_t bottom() const { return top + height; }
};

/// A picture in the making. What lies beside it is not drawn.
class canvas {
public:
  enum class align { left, middle, right };

  canvas(uint32_t width, uint32_t height, const ink& paper);

  void put(int32_t x, int32_t y, const ink& colour) { blend(x, y, colour, 1); }
  void fill(const pixel_box& box, const ink& colour);
  /// A line of one pixel around a box.
  void frame(const pixel_box& box, const ink& colour);
  /// A line between two points, of soft edges and so many pixels' width, within a box. The middle of pixel x is at x + 0.5.
  void line(std::array<float, 2> from, std::array<float, 2> to, float width, const ink& colour, const pixel_box& within);
  /// A line of text that stands on `base`.
  void text(int32_t x, int32_t base, std::string_view words, const ink& colour, align how = align::left);

  [[nodiscard]] colour_image take() && { return std::move(image_); }

private:
  void blend(int32_t x, int32_t y, const ink& colour, float share);

  colour_image image_;
};

} // namespace tessera
