#pragma once
// Triangles that a file would show as a line or a point.

#include "messages/map.hpp"

#include <cstdint>
#include <vector>

namespace tessera {

/// Takes out triangles that have no area at the precision of floats, in positions as large as the mesh's, and vertices that then
/// nobody uses; the order of all others stays. Readers choke on them (assimp takes the mesh apart, validators complain), and
/// nobody sees them. The indices must be those of vertices.
void drop_flat_triangles(mesh& surface);

/// A mesh on a grid after mending.
struct mended_triangles {
  std::vector<uint32_t> indices;
  std::vector<uint32_t> from; ///< for each vertex that is left, in the old order, its old number
};

/// Mends triangles that a grid makes flat; `places` are three whole numbers a vertex, less than 2^30 from 0. Two corners in one
/// place become one vertex, unless the surface would be pinched there; a triangle whose corners lie on a line gets an area by
/// turning its long side over to the triangle beyond. So no hole opens, and a border's places stay. What is flat even so is left
/// out, and vertices that then nobody uses. The indices must be those of vertices.
mended_triangles mend_flat_triangles(const std::vector<int32_t>& places, std::vector<uint32_t> indices);

/// Takes the vertices of a mesh to what is left of them, whatever it has of each.
void take_vertices(mesh& surface, mended_triangles&& mended);

} // namespace tessera
