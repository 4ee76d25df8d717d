#include "actors/store/page_file.hpp"

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <filesystem>
#include <stdexcept>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace tessera {

namespace {

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

int open_unnamed(const std::string& folder) {
#ifdef O_TMPFILE
  auto fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0)
    return fd;
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
    fail("cannot write the keyframe store's file in " + folder);
#endif
  auto name = folder + "/tessera-rays-XXXXXX"; // file systems without unnamed files
  auto named = ::mkostemp(name.data(), O_CLOEXEC);
  if (named < 0)
    fail("cannot write the keyframe store's file in " + folder);
  ::unlink(name.c_str());
  return named;
}

/// Calls `run(first page, pages, offset in bytes, length in bytes)` for each run of neighbouring pages.
template <class F>
void for_runs(std::span<const uint32_t> pages, size_t bytes, F run) {
  for (size_t i = 0; i < pages.size();) {
    auto j = i + 1;
    while (j < pages.size() && pages[j] == pages[j - 1] + 1)
      ++j;
    const auto from = i * page_file::page_bytes;
    const auto to = std::min(bytes, j * page_file::page_bytes);
    run(pages[i], from, to - from);
    i = j;
  }
}

} // namespace

page_file::page_file(const std::string& folder)
  : fd_{open_unnamed(folder.empty() ? std::filesystem::temp_directory_path().string() : folder)} {}

page_file::~page_file() {
  ::close(fd_);
}

std::vector<uint32_t> page_file::write(std::span<const std::byte> bytes) {
  const auto count = (bytes.size() + page_bytes - 1) / page_bytes;
  std::vector<uint32_t> pages;
  pages.reserve(count);
  for (auto i = free_.begin(); i != free_.end() && pages.size() < count; ++i)
    pages.push_back(*i);
  const auto from_free = pages.size();
  auto end = end_;
  while (pages.size() < count) {
    if (end == UINT32_MAX)
      throw std::system_error(EFBIG, std::generic_category(), "the keyframe store's file is full");
    pages.push_back(end++);
  }
  const auto write_run = [&](uint32_t first, size_t offset, size_t length) {
    auto place = static_cast<off_t>(uint64_t{first} * page_bytes);
    while (length > 0) {
      auto n = ::pwrite(fd_, bytes.data() + offset, length, place);
      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        fail("cannot write to the keyframe store's file");
      offset += static_cast<size_t>(n);
      length -= static_cast<size_t>(n);
      place += n;
    }
  };
  try {
    for_runs(pages, bytes.size(), write_run);
  } catch (...) {
    release(pages); // what fitted on a full disk: others may need the space
    throw;
  }
  for (size_t i = 0; i < from_free; ++i)
    free_.erase(pages[i]);
  end_ = end;
  return pages;
}

void page_file::read(std::span<const uint32_t> pages, std::span<std::byte> bytes) const {
  if (pages.size() * page_bytes < bytes.size())
    throw std::logic_error("a keyframe has fewer pages than it needs");
  for_runs(pages, bytes.size(), [&](uint32_t first, size_t offset, size_t length) {
    auto place = static_cast<off_t>(uint64_t{first} * page_bytes);
    while (length > 0) {
      auto n = ::pread(fd_, bytes.data() + offset, length, place);
      if (n < 0 && errno == EINTR)
        continue;
      if (n == 0)
        errno = EIO; // shorter than what was written
      if (n <= 0)
        fail("cannot read the keyframe store's file");
      offset += static_cast<size_t>(n);
      length -= static_cast<size_t>(n);
      place += n;
    }
  });
}

void page_file::free(std::span<const uint32_t> pages) {
  free_.insert(pages.begin(), pages.end());
  auto end = end_;
  while (!free_.empty() && *free_.rbegin() + 1 == end) {
    free_.erase(std::prev(free_.end()));
    --end;
  }
  end_ = end;
  release(pages);
}

void page_file::release(std::span<const uint32_t> pages) {
  // Failing here only wastes space: the pages are free either way.
  const auto end = static_cast<off_t>(uint64_t{end_} * page_bytes);
  struct stat now {};
  if (::fstat(fd_, &now) == 0 && now.st_size > end)
    (void)!::ftruncate(fd_, end);
  for_runs(pages, pages.size() * page_bytes, [&](uint32_t first, size_t, size_t length) {
    const auto from = static_cast<off_t>(uint64_t{first} * page_bytes);
    if (from < end && ::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, static_cast<off_t>(length)) != 0)
      makes_holes_ = false;
  });
}

} // namespace tessera
