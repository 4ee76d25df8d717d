#pragma once

#include "gpu/map/offline_map.hpp"
#include "gpu/map_settings.hpp"
#include "net/commands/auto_voxel.hpp"
#include "net/commands/choose_backend.hpp"
#include "net/commands/progress.hpp"
#include "net/commands/stop_signal.hpp"
#include "net/sources/source_table.hpp"

#include <iosfwd>
#include <map>
#include <optional>
#include <stop_token>
#include <string>

namespace tessera {

/// What the commands that make a map without a service are told.
struct offline_setup {
  /// SOURCE of the command line.
  std::string source;
  source_options input;
  map_settings map;
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

/// What ends a source that has no end: SIGINT or SIGTERM, and the result is of what came until then. Of what has an end a part is
/// no result: there a signal ends the process. Make it before any thread, and before anything is waited for.
class ending {
public:
  /// Says so on standard error, if progress is shown. Throws as make_source().
  ending(const offline_setup& setup, const std::string& what);
  [[nodiscard]] std::stop_token token() const { return told_ ? told_->token() : std::stop_token{}; }
  /// Whether there is none of the source's own.
  [[nodiscard]] bool is_needed() const { return told_.has_value(); }

private:
  std::optional<stop_signal> told_;
};

/// Returns the settings to use: the given ones, or those derived from the first keyframe of the source that a map would take.
/// Throws std::runtime_error if there is none, or none comes before the stop.
map_settings map_settings_for(const offline_setup& setup, std::stop_token stop = {});

/// Options of an offline map that refuses what a service would refuse.
offline_options checked_options(const map_settings& map, uint32_t threads);

/// "2 keyframes came again with the same content, and count once; 1 keyframe had ...", or nothing if there were none.
std::string repetitions_text(const offline_counts& counts);

/// Prints the map's hash and counts. Answers the exit code.
int hash_command(const offline_setup& setup, std::ostream& out);

/// Writes the map's mesh to a file; its ending tells the format: ply, glb or drc. `up` is the map's up: x, -x, y, -y, z, -z, or
/// auto, which asks the cameras; a GLB's node and the vertices of other files are turned so that it becomes +y. Empty: auto for a
/// GLB, and vertices as they are in the map for others. Answers the exit code.
int mesh_command(const offline_setup& setup, const std::string& file, const std::string& up);

/// Writes the mesh of each region that has a surface to a PLY file "X,Y,Z.ply" of its own, named by the region's key, in a
/// folder, which is made if it is not there (the one above must be). `up` as for mesh_command(). Throws std::invalid_argument,
/// before the work, if the folder has anything in it or is a file, or for another `up`. Answers the exit code.
int region_meshes_command(const offline_setup& setup, const std::string& folder, const std::string& up);

/// Draws the field along a plane into a PNG. `options` are those of slice_option_table(), by name, as they were typed. Throws
/// std::invalid_argument, before the work, for an option that cannot be and for another ending of the file; std::runtime_error if
/// there is nothing in the plane, or too much. Answers the exit code.
int slice_command(const offline_setup& setup, const std::map<std::string, std::string>& options, const std::string& file);

/// Writes the rays of one keyframe, under the pose that it has in the end, to a PLY of points. `id` names it as shown() does.
/// Throws std::invalid_argument, before the work, for another ending of the file; std::runtime_error if the source has no such
/// keyframe, or the map would not take it. Answers the exit code.
int rays_command(const offline_setup& setup, const std::string& id, const std::string& file);

/// Measures the stages on one thread, and throughput on several if `threads` is more; as one JSON object or in words.
int bench_command(const offline_setup& setup, bool json, std::ostream& out);

} // namespace tessera
