#pragma once
// Whole meshes as files that other tools open.

#include "messages/map.hpp"
#include "net/formats/orientation.hpp"

#include <cstddef>
#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>

namespace tessera {

enum class mesh_format { ply, glb, drc };

/// Returns the format that a file name's extension tells (any case), or nothing.
std::optional<mesh_format> mesh_format_of(const std::filesystem::path& file);

/// Returns the content type of a format's files.
std::string_view content_type(mesh_format format);

/// What a writer must know beside the mesh.
struct mesh_file_setup {
  float quantum_m = 0.001f; ///< the position grid of .drc files
  float voxel_m = 0;        ///< of the map, to be told in the file; 0: it is not
  std::string epoch;        ///< of the service, to be told in the file; empty: there is none
  /// The map's up. A GLB, whose up is +y, has a node that takes it there; its vertices are the map's.
  direction up = camera_up;
  /// PLY and .drc, which have no up: turns the vertices themselves as a GLB's node would. Else they are in the map's axes.
  bool turn_vertices = false;
};

/// What was written.
struct mesh_counts {
  size_t vertices = 0, triangles = 0;
};

/// Writes a mesh, sound at the file's precision (sound_triangles).
///
/// PLY: binary, little-endian: float positions and normals, uchar colours (sRGB), triangles; unit, voxel size and epoch as
/// comments. GLB: glTF 2.0 in metres. COLOR_0 is linear light, as glTF asks, in 16 bits so that dark colours survive; the
/// material is unlit, since the colours hold the light already, and single-sided, since surfaces are seen from one side. Unit,
/// voxel size and epoch are the node's `extras`. Throws std::invalid_argument if the mesh is none or too large for the format;
/// check the stream for failed writes.
mesh_counts write_mesh(std::ostream& out, mesh surface, mesh_format format, const mesh_file_setup& setup);

/// Writes a mesh to a file, in the format of its extension: a file of that name appears only when it is
/// whole. Throws std::invalid_argument for another extension, std::system_error if the file cannot be
/// written.
mesh_counts save_mesh(const std::filesystem::path& file, mesh surface, const mesh_file_setup& setup);

} // namespace tessera
