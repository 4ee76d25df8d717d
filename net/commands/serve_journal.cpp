#include "net/commands/serve_journal.hpp"

#include "actors/store/snapshot_folder.hpp"
#include "net/sources/source_table.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <system_error>

namespace tessera {

namespace {

std::string text_of(float value) {
  std::ostringstream out;
  out << value;
  return out.str();
}

/// What a map's keyframes in the journal were made with and what is set, where these differ: "voxel-size 0.05 (it is 0.02)".
std::string differences(const map_settings& kept, const map_settings& wanted) {
  std::string out;
  const auto compare = [&](const char* name, float was, float is) {
    if (was != is)
      out += (out.empty() ? "" : ", ") + std::string{name} + ' ' + text_of(was) + " (now " + text_of(is) + ')';
  };
  compare("voxel-size", kept.voxel_m, wanted.voxel_m);
  compare("truncation", kept.truncation_m, wanted.truncation_m);
  compare("region-size", static_cast<float>(kept.region_voxels), static_cast<float>(wanted.region_voxels));
  compare("min-range", kept.min_range_m, wanted.min_range_m);
  compare("max-range", kept.max_range_m, wanted.max_range_m);
  compare("min-confidence", kept.min_confidence, wanted.min_confidence);
  return out;
}

/// Bytes of the disk that snapshots leave free at most, beside what the journal itself keeps for what must be written; and at
/// most an eighth of the disk.
constexpr uint64_t snapshots_leave = uint64_t{256} << 20;
/// The thread that writes them rests nine times as long as it works: a tenth of a core, and of the disk, is theirs.
constexpr uint32_t snapshots_rest = 9;

/// Null if there can be none.
std::shared_ptr<region_snapshots> open_snapshots(const journal_setup& setup, const std::shared_ptr<journal>& file,
                                                 const log_function& log) {
  snapshot_options how;
  how.most_bytes = setup.snapshot_bytes;
  how.rest = snapshots_rest;
  try {
    const auto leave = std::min<uint64_t>(snapshots_leave, std::filesystem::space(setup.folder).capacity / 8);
    how.has_room = [file, leave](uint64_t bytes) { return file->has_room(bytes + leave); };
    return std::make_shared<region_snapshots>(snapshots_of(setup.folder), std::move(how), log);
  } catch (const std::system_error& e) {
    spdlog::warn("there are no snapshots of regions: {}", e.what());
    return nullptr;
  }
}

} // namespace

std::string default_journal(const std::vector<std::string>& sources, uint16_t port) {
  if (port == 0 || (!sources.empty() && std::ranges::all_of(sources, is_sequence)))
    return {};
  const auto* state = std::getenv("XDG_STATE_HOME");
  const auto* home = std::getenv("HOME");
  const auto absolute = [](const char* path) { return path != nullptr && *path == '/'; }; // others are to be ignored
  if (!absolute(state) && !absolute(home))
    throw std::invalid_argument("journal: neither XDG_STATE_HOME nor HOME tells where to keep it: name a folder (--journal DIR), "
                                "or none (--no-journal)");
  return (absolute(state) ? std::string{state} : std::string{home} + "/.local/state") + "/tessera/" + std::to_string(port);
}

serve_journal open_journal(const journal_setup& setup, map_settings& map, std::optional<auto_voxel>& voxel,
                           const log_function& log) {
  if (setup.folder.empty())
    return {};
  if (setup.fresh)
    if (const auto aside = set_journal_aside(setup.folder))
      spdlog::info("the journal that was here is now {}", *aside);
  serve_journal out;
  out.file = std::make_shared<journal>(setup.folder, setup.memory_bytes);
  const auto store = std::make_shared<journal_store>(out.file, log, setup.remembered);
  out.store = store;
  out.snapshots = open_snapshots(setup, out.file, log);
  if (out.snapshots)
    store->on_want_of_room([snapshots = out.snapshots] { return snapshots->make_room(); });
  const auto keyframes = out.store->usage().keyframes;
  out.told = std::make_shared<told_surfaces>(setup.folder + "/surfaces", keyframes == 0, log);
  if (keyframes == 0) {
    spdlog::info("keyframes are kept in the journal {}, which is empty", setup.folder);
    return out;
  }
  const auto kept = out.file->map();
  if (!kept)
    throw journal_error("the journal " + setup.folder + " is damaged: it does not say what its keyframes were made with");
  auto wanted = map;
  if (voxel) {
    wanted.voxel_m = kept->voxel_m;
    wanted.truncation_m = kept->truncation_m;
    if (!voxel->keep_min_range)
      wanted.min_range_m = kept->min_range_m;
    if (!voxel->keep_max_range)
      wanted.max_range_m = kept->max_range_m;
  }
  if (const auto others = differences(*kept, wanted); !others.empty())
    throw std::invalid_argument("the journal " + setup.folder + " holds " + std::to_string(keyframes)
                                + " keyframes that were made with other settings: " + others
                                + ". Set them as they were; or begin anew with --fresh, which keeps the journal aside, and "
                                  "play its keyframes as a recording that tessera journal export makes of it");
  map = *kept;
  voxel.reset();
  spdlog::info("keyframes are kept in the journal {}, which holds {} from last time ({})", setup.folder, keyframes,
               describe(map));
  return out;
}

} // namespace tessera
