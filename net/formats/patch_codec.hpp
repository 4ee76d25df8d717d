#pragma once
// The patch frame of docs/protocol.md: one region's surface as a fixed header and a Draco mesh.

#include "messages/map.hpp"
#include "net/formats/grid_places.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace tessera {

/// "TSP1", read as a little-endian number.
inline constexpr uint32_t patch_magic = 0x31505354;
inline constexpr size_t patch_header_bytes = 56;

/// What a patch frame says before its payload.
struct patch_header {
  enum class patch_kind : uint8_t { surface = 0, empty = 1 };
  patch_kind kind = patch_kind::surface;
  uint8_t codec = 1; ///< 1: Draco, 2: cells (docs/cells.md)
  uint8_t level = 0;
  bool partial = false; ///< of codec 2: only blocks that changed since `base_version`, with which the payload begins
  region_key region;
  uint32_t vertices = 0, triangles = 0;
  uint64_t version = 0, base_version = 0;
  uint64_t keyframe_ns = 0, received_ns = 0;
  uint32_t payload_bytes = 0;
  friend bool operator==(const patch_header&, const patch_header&) = default;
};

/// Reads and checks the header of a frame that is there as a whole, of codecs up to one: only who asks for 2 gets it, and with it
/// partial patches. Throws std::invalid_argument that names the field, its value and its bound.
patch_header parse_patch_header(std::span<const std::byte> frame, uint8_t newest_codec = 1);

/// Returns the patch of a whole frame, which begins with that header.
patch patch_of(const patch_header& header, std::vector<std::byte> frame);

/// Writes the header's own bytes.
void write_patch_header(std::span<std::byte, patch_header_bytes> to, const patch_header& header);

/// Returns what follows the header, the Draco mesh in a frame made by encode_patch; empty if the region is empty.
std::span<const std::byte> patch_payload(std::span<const std::byte> frame);

/// Encodes a region's surface. Vertices that are equal in two regions get equal grid positions, so that
/// borders stay closed. What the grid makes unsound is mended (sound_triangles), so that a patch may be empty. Throws
/// std::invalid_argument if the mesh is not a mesh (an index beyond its vertices, a position that is not
/// finite or off the grid). Threads: any.
patch encode_patch(const region_mesh& mesh, float quantum_m, uint64_t keyframe_ns, uint64_t received_ns);

/// A patch as a client gets to see it.
struct decoded_patch {
  patch_header header;
  std::vector<int32_t> positions; ///< times quantum_m: metres
  std::vector<uint8_t> colours;   ///< sRGB
  std::vector<uint32_t> indices;
};

/// Decodes a frame. Throws std::invalid_argument that tells what is wrong with it.
decoded_patch decode_patch(std::span<const std::byte> frame);

/// Encodes a whole mesh as a .drc file: positions in metres (on the same grid, as far as 30 bits reach),
/// colours; normals are left to the reader, and what the grid makes unsound is mended, as in patches: also in `surface`,
/// which then is what was written. Throws std::invalid_argument as encode_patch does.
std::vector<std::byte> encode_drc(mesh&& surface, float quantum_m);

} // namespace tessera
