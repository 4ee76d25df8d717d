#include "actors/base/stored_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace tessera {

namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

struct stat look_at(int fd, const std::string& path) {
  struct stat out {};
  if (::fstat(fd, &out) != 0)
    fail("cannot look at " + path);
  return out;
}

} // namespace

stored_file::stored_file(const std::string& path, int flags) : path_{path}, fd_{::open(path.c_str(), flags | O_CLOEXEC, 0600)} {
  if (fd_ < 0)
    fail("cannot open " + path_);
}

stored_file::~stored_file() {
  ::close(fd_);
}

std::vector<std::byte> stored_file::read(size_t bytes) const {
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

void stored_file::write(std::span<const std::byte> bytes) const {
  while (!bytes.empty()) {
    const auto n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      fail("cannot write " + path_);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
}

void stored_file::sync() const {
  if (::fsync(fd_) != 0)
    fail("cannot sync " + path_);
}

size_t stored_file::size() const {
  return static_cast<size_t>(look_at(fd_, path_).st_size);
}

uint64_t stored_file::inode() const {
  return look_at(fd_, path_).st_ino;
}

void sync_folder(const std::string& folder) {
  const auto fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0 && errno == EACCES)
    return;
  const auto code = fd < 0 || (::fsync(fd) != 0 && errno != EINVAL) ? errno : 0;
  if (fd >= 0)
    ::close(fd);
  if (code != 0)
    throw std::system_error(code, std::generic_category(), "the folder " + folder + " cannot be written");
}

void replace_file(const std::string& path, const std::function<std::vector<std::byte>(uint64_t inode)>& make) {
  const auto part = path + ".part";
  ::unlink(part.c_str()); // of a process that ended while it wrote it
  try {
    {
      const stored_file file{part, O_WRONLY | O_CREAT | O_TRUNC};
      file.write(make(file.inode()));
      file.sync();
    }
    if (::rename(part.c_str(), path.c_str()) != 0)
      fail("cannot rename " + part);
  } catch (...) {
    ::unlink(part.c_str());
    throw;
  }
  sync_folder(std::filesystem::path{path}.parent_path().string());
}

} // namespace tessera
