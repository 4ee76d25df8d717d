// A patch frame as a client reads it.

#include "net/formats/patch_codec.hpp"

#include "require.hpp"

#include <stdexcept>

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::span<const std::byte> frame{reinterpret_cast<const std::byte*>(data), size};
  try {
    auto header = parse_patch_header(frame);
    require(header.payload_bytes == size - patch_header_bytes);
    require(patch_payload(frame).size() == header.payload_bytes);
  } catch (const std::invalid_argument& e) {
    require(e.what()[0] != '\0');
  }
  return 0;
}
