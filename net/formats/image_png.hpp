#pragma once
// libpng behind image.hpp; nothing else includes this.

#include "net/formats/image.hpp"

namespace tessera {

[[nodiscard]] bool is_png(std::span<const std::byte> file);
colour_image decode_png_colour(std::span<const std::byte> file);
depth_image decode_png_depth(std::span<const std::byte> file);

} // namespace tessera
