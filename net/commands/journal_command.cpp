#include "net/commands/journal_command.hpp"

#include "actors/store/journal.hpp"
#include "actors/store/journal_folder.hpp"
#include "actors/store/snapshot_folder.hpp"
#include "net/commands/auto_voxel.hpp"
#include "net/commands/journal_export.hpp"
#include "net/commands/stop_signal.hpp"
#include "net/formats/json_text.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <map>
#include <optional>
#include <ostream>
#include <set>
#include <stdexcept>
#include <vector>

namespace tessera {

namespace {

constexpr uint64_t memory_bytes = uint64_t{32} << 20;

/// Nanoseconds since 1970 as people write them; empty for none.
std::string time_text(uint64_t ns) {
  if (ns == 0)
    return {};
  const auto seconds = static_cast<std::time_t>(ns / 1'000'000'000);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

nlohmann::json summary(const journal& kept, const std::vector<journal::kept>& all) {
  uint64_t rays = 0, first = 0, last = 0;
  std::map<std::string, uint64_t> sources;
  for (const auto& [number, one] : all) {
    rays += one.rays;
    ++sources[one.frame.source];
    const auto at = one.frame.received_ns;
    if (at != 0) {
      first = first == 0 ? at : std::min(first, at);
      last = std::max(last, at);
    }
  }
  const auto gone = kept.gone();
  const auto retractions
    = std::count_if(gone.begin(), gone.end(), [](const auto& one) { return one.what.kind == gone_kind::retracted; });
  nlohmann::json out{
    {"journal", kept.folder()},        {"format", kept.format()}, {"keyframes", all.size()},   {"rays", rays},
    {"disk_bytes", kept.disk_bytes()}, {"sources", sources},      {"first", time_text(first)}, {"last", time_text(last)},
    {"retractions", retractions}};
  out["quarantined"] = nlohmann::json::array();
  for (const auto& one : kept.quarantined())
    out["quarantined"].push_back({{"keyframe", shown(one.id)}, {"reason", one.reason}});
  if (const auto map = kept.map())
    out["map"] = {{"voxel_m", number(map->voxel_m)},         {"truncation_m", number(map->truncation_m)},
                  {"region_voxels", map->region_voxels},     {"min_range_m", number(map->min_range_m)},
                  {"max_range_m", number(map->max_range_m)}, {"min_confidence", number(map->min_confidence)}};
  return out;
}

/// Whether a snapshot holds nothing but what is live, so that the next start can use it.
class usable_snapshots {
public:
  explicit usable_snapshots(const std::vector<journal::kept>& all) {
    for (const auto& [number, one] : all)
      for (const auto& region : one.frame.reach.regions)
        in_[region].insert(one.frame.reach.stamp);
  }
  [[nodiscard]] bool contains(const snapshot_head& head) const {
    const auto i = in_.find(head.region);
    return i != in_.end() && !head.stamps.empty()
           && std::all_of(head.stamps.begin(), head.stamps.end(), [&](uint64_t its) { return i->second.contains(its); });
  }

private:
  std::map<region_key, std::set<uint64_t>> in_;
};

/// What is told of snapshots. `reads`: each is read whole.
nlohmann::json told_of(const std::vector<found_snapshot>& found, const std::vector<journal::kept>& all, bool reads) {
  const usable_snapshots usable{all};
  uint64_t bytes = 0, good = 0, oldest = 0;
  auto damaged = nlohmann::json::array();
  for (const auto& one : found) {
    auto fault = one.fault;
    if (reads && one.head)
      try {
        (void)read_snapshot_file(one.path);
      } catch (const bad_snapshot& e) {
        fault = e.what();
      }
    bytes += one.bytes;
    if (!fault.empty())
      damaged.push_back({{"file", one.path}, {"reason", fault}});
    else if (usable.contains(*one.head))
      ++good;
    if (one.head)
      oldest = oldest == 0 ? one.head->time_ns : std::min(oldest, one.head->time_ns);
  }
  return {{"regions", found.size()}, {"usable", good}, {"bytes", bytes}, {"oldest", time_text(oldest)}, {"damaged", damaged}};
}

/// Removes what the next start cannot use.
void remove_useless(const std::vector<found_snapshot>& found, const std::vector<journal::kept>& all) {
  const usable_snapshots usable{all};
  for (const auto& one : found)
    if (one.damaged || (one.head && !usable.contains(*one.head)))
      std::filesystem::remove(one.path);
}

/// Reads everything: what of it is damaged, keyframe and reason. Throws what journal::read() does of what cannot be read now.
nlohmann::json damage(const journal& kept, const std::vector<journal::kept>& all) {
  auto out = nlohmann::json::array();
  for (const auto& [number, one] : all)
    try {
      (void)kept.read(number);
    } catch (const damaged_keyframe& e) {
      out.push_back({{"keyframe", shown(one.frame.id)}, {"reason", e.what()}});
    }
  return out;
}

void end_quarantine(journal& kept) {
  std::vector<keyframe_id> ids;
  for (const auto& one : kept.quarantined())
    ids.push_back(one.id);
  if (!ids.empty())
    kept.write_quarantine({}, ids);
}

void print(const nlohmann::json& told, const journal& kept, std::ostream& out) {
  out << "journal " << kept.folder() << "\nformat " << told["format"] << "\nkeyframes " << told["keyframes"] << "\nrays "
      << told["rays"] << "\nretractions of keyframes that never came " << told["retractions"] << "\nbytes on disk "
      << told["disk_bytes"] << '\n';
  if (const auto map = kept.map())
    out << "made with " << describe(*map) << ", region-size " << map->region_voxels << ", min-confidence " << map->min_confidence
        << '\n';
  for (const auto& [source, count] : told["sources"].items())
    out << "from " << (source.empty() ? "elsewhere" : source) << ' ' << count << '\n';
  if (const auto first = told["first"].get<std::string>(); !first.empty())
    out << "first " << first << "\nlast " << told["last"].get<std::string>() << '\n';
  if (const auto& its = told["snapshots"]; its["regions"] > 0)
    out << "snapshots of regions " << its["regions"] << " (" << its["usable"] << " can be used), " << its["bytes"]
        << " bytes, the oldest of " << its["oldest"].get<std::string>() << '\n';
  for (const auto& one : told["snapshots"]["damaged"])
    out << "a damaged snapshot, which costs time alone: " << one["file"].get<std::string>() << ": "
        << one["reason"].get<std::string>() << '\n';
  for (const auto& one : told["quarantined"])
    out << "in quarantine: " << one["keyframe"].get<std::string>() << ": " << one["reason"].get<std::string>() << '\n';
  if (!told.contains("damaged"))
    return;
  for (const auto& one : told["damaged"])
    out << "damaged: " << one["keyframe"].get<std::string>() << ": " << one["reason"].get<std::string>() << '\n';
  if (told["damaged"].empty())
    out << "all records are whole\n";
}

int look_into(const journal_command_setup& setup, std::ostream& out) {
  const auto is = [&](const char* action) { return setup.action == action; };
  std::optional<stop_signal> stop; // before there are threads, which must not have signals
  if (is("export"))
    stop.emplace();
  journal kept{setup.folder, memory_bytes,
               is("compact") || is("release") ? journal::access::change
               : is("salvage")                ? journal::access::salvage
                                              : journal::access::look};
  if (stop)
    return export_journal(kept, setup.output, style_of_standard_error(), stop->token());
  const auto done = !is("compact") || kept.compact();
  if (is("release"))
    end_quarantine(kept);
  const auto all = kept.keyframes();
  const auto snapshots = snapshots_of(setup.folder);
  if (is("compact"))
    remove_useless(find_snapshots(snapshots), all);
  auto told = summary(kept, all);
  told["snapshots"] = told_of(find_snapshots(snapshots), all, is("verify"));
  if (is("verify") || is("salvage"))
    told["damaged"] = damage(kept, all);
  if (setup.json)
    out << told.dump() << '\n';
  else
    print(told, kept, out);
  const auto whole
    = !told.contains("damaged") || (told["damaged"].empty() && (!is("verify") || told["snapshots"]["damaged"].empty()));
  return done && whole ? 0 : 1;
}

} // namespace

int journal_command(const journal_command_setup& setup, std::ostream& out) {
  const auto is = [&](const char* action) { return setup.action == action; };
  if (!is("info") && !is("verify") && !is("salvage") && !is("compact") && !is("release") && !is("export"))
    throw std::invalid_argument("tessera journal takes info, verify, salvage, compact, release or export, and not \""
                                + setup.action + '"');
  if (is("export") == setup.output.empty())
    throw std::invalid_argument(is("export") ? "tessera journal export wants the file to be written: --output FILE"
                                             : "--output is the file of tessera journal export");
  const auto end = [&] { // also after a failure
    if (!is("info") && !is("verify") && !is("export"))
      give_to_owner(setup.folder);
  };
  try {
    const auto answer = look_into(setup, out);
    end();
    return answer;
  } catch (...) {
    end();
    throw;
  }
}

} // namespace tessera
