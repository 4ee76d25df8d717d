#pragma once
// libjpeg behind image.hpp; nothing else includes this.

#include "net/formats/image.hpp"

namespace tessera {

[[nodiscard]] bool is_jpeg(std::span<const std::byte> file);
colour_image decode_jpeg_colour(std::span<const std::byte> file);

} // namespace tessera
