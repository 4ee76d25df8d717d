#pragma once
// Whole meshes as files that other tools open.

#include "messages/map.hpp"

#include <filesystem>
#include <iosfwd>
#include <optional>
#include <string_view>

namespace tessera {

enum class mesh_format { ply, glb, drc };

/// Returns the format that a file name's extension tells (any case), or nothing.
std::optional<mesh_format> mesh_format_of(const std::filesystem::path& file);

/// Returns the content type of a format's files.
std::string_view content_type(mesh_format format);

/// Writes a mesh as a binary little-endian PLY: float positions and normals, uchar colours (sRGB), triangles.
/// Throws std::invalid_argument if the mesh is too large for the format; check the stream for failed writes.
void write_ply(std::ostream& out, const mesh& surface);

/// Writes a mesh as binary glTF 2.0, in metres and in the map's axes (COLOR_0 is linear light, as glTF asks,
/// in 16 bits so that dark colours survive). Throws and fails as write_ply.
void write_glb(std::ostream& out, const mesh& surface);

/// Writes a mesh in a format; `quantum_m` is the position grid of .drc files. Throws and fails as write_ply.
void write_mesh(std::ostream& out, const mesh& surface, mesh_format format, float quantum_m);

/// Writes a mesh to a file, in the format of its extension: a file of that name appears only when it is
/// whole. Throws std::invalid_argument for another extension, std::system_error if the file cannot be
/// written.
void save_mesh(const std::filesystem::path& file, const mesh& surface, float quantum_m);

} // namespace tessera
