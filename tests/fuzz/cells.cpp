// Two patches of cells one after another, as a viewer reads them, the second perhaps onto the first: behind four bytes that say
// how long the first one is.

#include "net/formats/cells_codec.hpp"

#include "require.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <stdexcept>

using namespace tessera;

namespace {

constexpr int32_t region_voxels = 16;

std::optional<region_cells> read(std::span<const std::byte> frame, const region_cells* held) {
  try {
    auto cells = decode_cells(frame, region_voxels, held);
    const auto header = parse_patch_header(frame, 2);
    const auto mesh = triangles_of(cells);
    require(mesh.indices.size() == 3 * size_t{header.triangles});
    require(mesh.places.size() == 3 * size_t{header.vertices});
    require(mesh.colours.size() == mesh.places.size());
    for (const auto i : mesh.indices)
      require(i < header.vertices);
    return cells;
  } catch (const std::invalid_argument& e) {
    require(e.what()[0] != '\0');
    return std::nullopt;
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  uint32_t first = 0;
  if (size < sizeof first)
    return 0;
  std::memcpy(&first, data, sizeof first);
  const std::span<const std::byte> frames{reinterpret_cast<const std::byte*>(data) + sizeof first, size - sizeof first};
  first = static_cast<uint32_t>(std::min<size_t>(first, frames.size()));
  const auto held = read(frames.first(first), nullptr);
  read(frames.subspan(first), held ? &*held : nullptr);
  return 0;
}
