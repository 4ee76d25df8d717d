#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// Neither edge of an image may be longer, in pixels.
inline constexpr uint32_t max_image_edge = 16384;
/// No image may have more pixels.
inline constexpr uint64_t max_image_pixels = 1u << 24;

/// 8-bit sRGB, three bytes a pixel, rows from the top.
struct colour_image {
  uint32_t width = 0, height = 0;
  std::vector<uint8_t> rgb;
};

/// 16-bit grey, rows from the top.
struct depth_image {
  uint32_t width = 0, height = 0;
  std::vector<uint16_t> values;
};

/// Decodes a colour image, JPEG or PNG by its first bytes; grey, palettes and alpha become RGB. Throws
/// bad_input.
colour_image decode_colour(std::span<const std::byte> file);

/// Encodes a colour image as PNG. Throws std::bad_alloc, std::invalid_argument if an edge or the image is larger than any may be.
std::vector<std::byte> encode_png(const colour_image& image);

/// Decodes a PNG with one 16-bit channel; anything else is bad input.
depth_image decode_depth(std::span<const std::byte> file);

} // namespace tessera
