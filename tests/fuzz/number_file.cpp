// The text of an RGB-D folder's pose and intrinsics.

#include "net/formats/number_file.hpp"

#include "net/base/bad_input.hpp"
#include "require.hpp"

using namespace tessera;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  for (size_t wanted : {9u, 16u}) {
    try {
      require(parse_numbers({reinterpret_cast<const char*>(data), size}, wanted).size() == wanted);
    } catch (const bad_input& e) {
      require(e.what()[0] != '\0' && std::string_view(e.what()).size() < 200); // an answer does not grow with its file
    }
  }
  return 0;
}
