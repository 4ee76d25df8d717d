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

/// The same on a grid: `places` are three whole numbers a vertex, and are kept in step with the vertices.
void drop_flat_triangles(mesh& surface, std::vector<int32_t>& places);

} // namespace tessera
