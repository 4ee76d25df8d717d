#pragma once
// What the cases of marching cubes say of cells, for what writes and reads cells.

#include "gpu/shared/marching_cubes.hpp"

#include <array>
#include <cstddef>
#include <cstdint>

namespace tessera::cell_tables {

/// Corner c of a cell lies at (c & 1, c >> 1 & 1, c >> 2).
inline constexpr size_t corners = 8;

/// The corners on each face of a cell: before and after it along x, y, z.
inline constexpr std::array<uint8_t, 6> corners_of_face{0x55, 0xaa, 0x33, 0xcc, 0x0f, 0xf0};

/// For each case, the edges that are crossed: of corner c, bit 3c + axis.
constexpr std::array<uint32_t, 256> make_crossed() {
  std::array<uint32_t, 256> out{};
  for (size_t inside = 0; inside < 256; ++inside)
    for (size_t c = 0; c < corners; ++c)
      for (size_t axis = 0; axis < 3; ++axis)
        if (const auto other = c | size_t{1} << axis; other != c && ((inside >> c ^ inside >> other) & 1) != 0)
          out[inside] |= 1u << (3 * c + axis);
  return out;
}
inline constexpr auto crossed = make_crossed();

/// For each case, the faces that the surface crosses: bit f of corners_of_face.
constexpr std::array<uint8_t, 256> make_crossed_faces() {
  std::array<uint8_t, 256> out{};
  for (size_t inside = 0; inside < 256; ++inside)
    for (size_t f = 0; f < 6; ++f)
      if (const auto in = inside & corners_of_face[f]; in != 0 && in != corners_of_face[f])
        out[inside] = static_cast<uint8_t>(out[inside] | 1u << f);
  return out;
}
inline constexpr auto crossed_faces = make_crossed_faces();

} // namespace tessera::cell_tables
