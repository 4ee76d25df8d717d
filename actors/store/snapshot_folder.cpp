#include "actors/store/snapshot_folder.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

namespace tessera {

namespace fs = std::filesystem;

namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

class open_file {
public:
  open_file(const std::string& path, int flags) : path_{path}, fd_{::open(path.c_str(), flags | O_CLOEXEC, 0600)} {
    if (fd_ < 0)
      fail("cannot open " + path_);
  }
  ~open_file() { ::close(fd_); }
  open_file(const open_file&) = delete;
  open_file& operator=(const open_file&) = delete;

  /// Its first bytes: fewer, if it has no more.
  [[nodiscard]] std::vector<std::byte> read(size_t bytes) const {
    std::vector<std::byte> out(bytes);
    size_t have = 0;
    while (have < bytes) {
      const auto n = ::pread(fd_, out.data() + have, bytes - have, static_cast<off_t>(have));
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        fail("cannot read " + path_);
      if (n == 0)
        break;
      have += static_cast<size_t>(n);
    }
    out.resize(have);
    return out;
  }
  void write(std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
      const auto n = ::write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        fail("cannot write " + path_);
      bytes = bytes.subspan(static_cast<size_t>(n));
    }
  }
  [[nodiscard]] size_t size() const {
    struct stat its {};
    if (::fstat(fd_, &its) != 0)
      fail("cannot look at " + path_);
    return static_cast<size_t>(its.st_size);
  }

private:
  const std::string path_;
  const int fd_;
};

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
      const open_file file{its.path, O_RDONLY};
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
  const open_file file{path, O_RDONLY};
  auto out = read_snapshot(file.read(file.size()));
  check_region(out.head, region_of_snapshot(fs::path{path}.filename().string()));
  return out;
}

void write_file(const std::string& path, std::span<const std::byte> bytes) {
  open_file{path, O_WRONLY | O_CREAT | O_TRUNC}.write(bytes);
}

} // namespace tessera
