#include "actors/store/snapshot_folder.hpp"

#include "actors/base/stored_file.hpp"

#include <fcntl.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace tessera {

namespace fs = std::filesystem;

namespace {

void check_region(const snapshot_head& head, const std::optional<region_key>& named) {
  if (head.region != named)
    throw bad_snapshot("it is of another region than its name says");
}

} // namespace

std::vector<found_snapshot> find_snapshots(const std::string& folder) {
  std::vector<found_snapshot> out;
  if (!fs::exists(folder))
    return out;
  for (const auto& one : fs::directory_iterator{folder}) {
    const auto region = region_of_snapshot(one.path().filename().string());
    if (!region)
      continue;
    auto& its = out.emplace_back(found_snapshot{one.path().string()});
    try {
      const stored_file file{its.path, O_RDONLY};
      its.bytes = file.size();
      const auto begin = file.read(snapshot_prefix);
      auto head = read_snapshot_head(file.read(std::min<size_t>(its.bytes, snapshot_prefix + snapshot_head_bytes(begin))));
      check_region(head, *region);
      its.head = std::move(head);
    } catch (const bad_snapshot& e) {
      its.fault = e.what();
      its.damaged = true;
    } catch (const std::system_error& e) {
      its.fault = e.what();
    }
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return out;
}

region_snapshot read_snapshot_file(const std::string& path) {
  const stored_file file{path, O_RDONLY};
  auto out = read_snapshot(file.read_all());
  check_region(out.head, region_of_snapshot(fs::path{path}.filename().string()));
  return out;
}

void write_file(const std::string& path, std::span<const std::byte> bytes) {
  stored_file{path, O_WRONLY | O_CREAT | O_TRUNC}.write(bytes);
}

} // namespace tessera
