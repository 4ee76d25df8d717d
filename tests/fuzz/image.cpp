// A file of an RGB-D folder that claims to be an image.

#include "net/formats/image.hpp"

#include "net/base/bad_input.hpp"
#include "require.hpp"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  // Large images are valid, and take the time and memory that they take: only small ones are tried.
  std::span<const std::byte> file{reinterpret_cast<const std::byte*>(data), size};
  if (size >= 24 && data[0] == 0x89
      && (data[16] != 0 || data[17] != 0 || data[18] > 1 || data[20] != 0 || data[21] != 0 || data[22] > 1))
    return 0;
  try {
    auto image = decode_colour(file);
    require(image.rgb.size() == size_t{3} * image.width * image.height);
  } catch (const bad_input& e) {
    require(e.what()[0] != '\0');
  }
  try {
    auto image = decode_depth(file);
    require(image.values.size() == size_t{image.width} * image.height);
  } catch (const bad_input& e) {
    require(e.what()[0] != '\0');
  }
  return 0;
}
