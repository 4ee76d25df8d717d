#pragma once
// Triangles that a file would show as a line or a point.

#include <cstdint>
#include <vector>

namespace tessera {

/// Mends triangles that a grid makes flat; `places` are three whole numbers a vertex, less than 2^30 from 0. Two corners in one
/// place become one vertex, unless the surface would be pinched there; a triangle whose corners lie on a line gets an area by
/// turning its long side over to the triangle beyond. So no hole opens, and a border's places stay. What is flat even so is left
/// out, and so are two triangles between the same three vertices, which hold nothing between them. The indices must be those of
/// vertices.
void mend_flat_triangles(const std::vector<int32_t>& places, std::vector<uint32_t>& indices);

/// The same for positions in floats: what is flat at the precision that floats have at the largest of them. Corners that are no
/// farther from each other than that are in one place.
void mend_flat_triangles(const std::vector<float>& places, std::vector<uint32_t>& indices);

} // namespace tessera
