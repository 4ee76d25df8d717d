#pragma once
// The files of snapshots in their folder.

#include "actors/store/snapshot_file.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// What a snapshot's file is named while it is being written, behind its name.
inline constexpr std::string_view unfinished_snapshot = ".part";

/// A file that is, or should be, a snapshot.
struct found_snapshot {
  std::string path;
  uint64_t bytes = 0;
  std::optional<snapshot_head> head{}; ///< nothing: it is none
  std::string fault{};                 ///< why
  bool damaged = false;                ///< it never will be one; else it could not be read now
};

/// The folder of a journal's snapshots.
inline std::string snapshots_of(const std::string& journal) {
  return journal + "/snapshots";
}

/// The snapshots in a folder, of which the heads are read; none if there is no such folder. Throws std::system_error if it cannot
/// be read.
std::vector<found_snapshot> find_snapshots(const std::string& folder);
/// The snapshot in a file that has its region's name. Throws bad_snapshot, std::system_error, std::bad_alloc.
region_snapshot read_snapshot_file(const std::string& path);
/// Writes a file anew. Throws std::system_error.
void write_file(const std::string& path, std::span<const std::byte> bytes);

} // namespace tessera
