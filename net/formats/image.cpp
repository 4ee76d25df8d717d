#include "net/formats/image.hpp"

#include "net/base/bad_input.hpp"
#include "net/formats/image_jpeg.hpp"
#include "net/formats/image_png.hpp"

namespace tessera {

colour_image decode_colour(std::span<const std::byte> file) {
  if (is_png(file))
    return decode_png_colour(file);
  if (is_jpeg(file))
    return decode_jpeg_colour(file);
  throw bad_input(file.empty() ? "the file is empty" : "the file is neither JPEG nor PNG");
}

depth_image decode_depth(std::span<const std::byte> file) {
  if (!is_png(file))
    throw bad_input(file.empty() ? "the file is empty" : "the file is no PNG");
  return decode_png_depth(file);
}

} // namespace tessera
