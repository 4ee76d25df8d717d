#pragma once

#include "actors/base/log.hpp"
#include "actors/regions/told_surfaces.hpp"
#include "actors/store/journal_store.hpp"
#include "actors/store/region_snapshots.hpp"
#include "gpu/map_settings.hpp"
#include "net/commands/auto_voxel.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

/// What `tessera serve` is told of its journal.
struct journal_setup {
  std::string folder; ///< empty: none
  uint64_t memory_bytes = 0;
  uint64_t snapshot_bytes = 0;            ///< room for snapshots of regions; 0: none
  size_t remembered = default_remembered; ///< ids of keyframes that went, or were retracted before they came
  bool fresh = false;                     ///< begins anew, and keeps what is there aside
};

/// Where a service keeps its journal that is told nothing: `tessera/PORT` in the user's folder for state. Empty, for none, where
/// what comes is made up or read from a folder, and comes again; and where the port is any free one, so that nobody would find
/// the journal again. Throws std::invalid_argument if the environment names no folder.
std::string default_journal(const std::vector<std::string>& sources, uint16_t port);

/// A journal in use.
struct serve_journal {
  std::shared_ptr<journal> file; ///< null: there is none
  std::shared_ptr<keyframe_store> store;
  std::shared_ptr<region_snapshots> snapshots; ///< null: there are none
  std::shared_ptr<told_surfaces> told;         ///< null: there is no journal
};

/// Opens the journal and says in the log where it is and what is in it. If it holds keyframes, the map is to be made as theirs
/// was: then `voxel`, a voxel size that is yet to be chosen, is chosen, and std::invalid_argument says which settings differ.
/// Throws journal_error, too. `log` is told what the store says later.
serve_journal open_journal(const journal_setup& setup, map_settings& map, std::optional<auto_voxel>& voxel,
                           const log_function& log);

} // namespace tessera
