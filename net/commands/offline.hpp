#pragma once

#include "gpu/mapping.hpp"
#include "gpu/offline_map.hpp"
#include "net/commands/auto_voxel.hpp"
#include "net/commands/choose_backend.hpp"
#include "net/commands/progress.hpp"
#include "net/sources/source.hpp"

#include <iosfwd>
#include <optional>
#include <string>

namespace tessera {

/// What the commands that make a map without a service are told.
struct offline_setup {
  /// SOURCE of the command line.
  std::string source;
  source_options input;
  mapping map;
  /// Given: the voxel size is to be derived from the first good keyframe, and what follows from it.
  std::optional<auto_voxel> voxel;
  uint32_t threads = 1;
  /// Which devices do the work.
  backend_setup backend;
  /// bench: CSV file for the times of each keyframe; empty: none.
  std::string times_file;
  /// How progress is shown on standard error.
  progress_style progress = progress_style::none;
};

/// Returns the mapping to use: the given one, or one derived from the first keyframe of the source that a map would take. Throws
/// std::runtime_error if there is none.
mapping mapping_for(const offline_setup& setup);

/// Options of an offline map that refuses what a service would refuse.
offline_options checked_options(uint32_t threads);

/// Prints the map's hash and counts. Answers the exit code.
int hash_command(const offline_setup& setup, std::ostream& out);

/// Writes the map's mesh to a file; its ending tells the format: ply, glb or drc. `up` is the map's up: x, -x, y, -y, z, -z, or
/// auto, which asks the cameras; a GLB's node and the vertices of other files are turned so that it becomes +y. Empty: auto for a
/// GLB, and vertices as they are in the map for others. Answers the exit code.
int mesh_command(const offline_setup& setup, const std::string& file, const std::string& up);

/// Measures the stages on one thread, and throughput on several if `threads` is more; as one JSON object or in words.
int bench_command(const offline_setup& setup, bool json, std::ostream& out);

} // namespace tessera
