#pragma once
// Meshes that strict readers take.

#include "messages/map.hpp"

#include <cstdint>
#include <vector>

namespace tessera {

/// A mesh after mending.
struct mended_triangles {
  std::vector<uint32_t> indices;
  std::vector<uint32_t> from; ///< for each vertex, its old number: in the old order, and then second ones
};

/// What becomes of a vertex at which several fans of triangles touch.
enum class fans {
  split, ///< each gets a vertex of its own
  kept,  ///< it stays, for a writer that splits them itself, as Draco's does
};

/// Makes triangles sound, with vertices on a grid (three whole numbers each, less than 2^30 from 0) or in floats:
/// - none is flat (mend_flat_triangles);
/// - no two lie between the same three places: two sides of a wall without thickness go together, of others one stays;
/// - each vertex has one fan of triangles: where sheets touch in a point, as they do at the rim of what was seen, each has a
/// vertex
///   of its own;
/// - each vertex has a triangle.
///
/// Nothing opens: sides of triangles that no other closes are where they were. The indices must be those of vertices, and no two
/// triangles may run along an edge in the same direction.
mended_triangles sound_triangles(const std::vector<int32_t>& places, std::vector<uint32_t> indices, fans touching = fans::split);
mended_triangles sound_triangles(const std::vector<float>& places, std::vector<uint32_t> indices, fans touching = fans::split);

/// Takes the vertices of a mesh to those that are left, whatever it has of each.
void take_vertices(mesh& surface, mended_triangles&& mended);

} // namespace tessera
