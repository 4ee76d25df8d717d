#include "net/sources/shm_segment.hpp"

#include "net/sources/bad_input.hpp"
#include "net/sources/utf8.hpp"

#include <spdlog/spdlog.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace tessera {

namespace {

constexpr size_t longest_name = 255;

std::string system_text(int error) {
  return std::generic_category().message(error);
}

struct stat stat_of(const descriptor& file) {
  struct stat s {};
  if (fstat(file.get(), &s) != 0)
    throw std::runtime_error("cannot stat a shared memory segment: " + system_text(errno));
  return s;
}

/// Reads up to `bytes` at `offset` through the descriptor, which no truncation can turn into a signal.
size_t read_some(const descriptor& file, std::byte* to, size_t bytes, off_t offset) {
  size_t got = 0;
  while (got < bytes) {
    auto n = pread(file.get(), to + got, bytes - got, offset + static_cast<off_t>(got));
    if (n < 0 && errno == EINTR)
      continue;
    if (n <= 0)
      break;
    got += static_cast<size_t>(n);
  }
  return got;
}

void warn_of_unlinking(const std::string& name, int error) {
  spdlog::warn("segment {} cannot be unlinked: {}; is it another user's?", printable(name, 300), system_text(error));
}

uint64_t mix(uint64_t h, uint64_t word) {
  h = (h ^ word) * 0x9e3779b97f4a7c15u;
  return h ^ (h >> 32);
}

} // namespace

std::string checked_segment_name(std::string_view name, std::string_view prefix) {
  std::string full = name.starts_with('/') ? std::string(name) : "/" + std::string(name);
  std::string wanted = prefix.starts_with('/') ? std::string(prefix) : "/" + std::string(prefix);
  auto refuse = [&](const std::string& why) { throw bad_input("shm_key '" + printable(name) + "' " + why); };
  if (full.size() - 1 > longest_name)
    refuse("has " + std::to_string(full.size() - 1) + " bytes, at most " + std::to_string(longest_name) + " are allowed");
  if (full.find('/', 1) != std::string::npos)
    refuse("has a slash after its first byte");
  if (full.find("..") != std::string::npos)
    refuse("holds '..'");
  for (char c : full)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      refuse("holds a control character");
  if (!full.starts_with(wanted) || full.size() == wanted.size())
    refuse("does not begin with the prefix '" + wanted + "' and go on after it");
  return full;
}

descriptor open_segment(const std::string& name) {
  // shm_open itself asks for O_NOFOLLOW and O_CLOEXEC; O_NONBLOCK keeps a planted pipe from holding us up.
  descriptor file(shm_open(name.c_str(), O_RDONLY | O_NONBLOCK, 0));
  if (!file.valid()) {
    if (errno == ENOENT)
      return file;
    throw bad_input("segment " + printable(name, 300) + " cannot be opened: " + system_text(errno));
  }
  if (!S_ISREG(stat_of(file).st_mode))
    throw bad_input("segment " + printable(name, 300) + " is not a plain shared memory segment");
  return file;
}

void discard_segment(const std::string& name) {
  if (shm_unlink(name.c_str()) != 0 && errno != ENOENT)
    warn_of_unlinking(name, errno);
}

segment_identity identify_segment(const descriptor& file) {
  auto s = stat_of(file);
  segment_identity id;
  id.device = s.st_dev;
  id.inode = s.st_ino;
  id.bytes = s.st_size;
  id.modified = s.st_mtim;
  id.whole = s.st_blocks * 512 >= s.st_size;
  constexpr int samples = 32;
  std::array<std::byte, 128> piece{};
  id.digest = mix(1, read_some(file, piece.data(), long_header_bytes, 0));
  auto add = [&](size_t bytes) {
    for (size_t i = 0; i + 8 <= bytes; i += 8) {
      uint64_t word = 0;
      std::memcpy(&word, piece.data() + i, 8);
      id.digest = mix(id.digest, word);
    }
  };
  add(piece.size());
  if (s.st_size > static_cast<off_t>(long_header_bytes)) {
    // The last sample ends with the segment.
    off_t span = s.st_size - static_cast<off_t>(long_header_bytes);
    for (int k = 1; k <= samples; ++k) {
      piece.fill(std::byte{});
      off_t at = static_cast<off_t>(long_header_bytes) + span * k / samples - 16;
      read_some(file, piece.data(), 16, std::max<off_t>(at, 0));
      add(16);
    }
  }
  return id;
}

segment_header read_segment_header(const descriptor& file) {
  std::array<std::byte, long_header_bytes> begin{};
  size_t got = read_some(file, begin.data(), begin.size(), 0);
  return parse_segment_header(std::span(begin).first(got), static_cast<uint64_t>(stat_of(file).st_size));
}

shm_segment::shm_segment(std::string name) : name_(std::move(name)), file_(open_segment(name_)) {
  if (!file_.valid())
    throw no_such_segment("segment " + printable(name_, 300) + " does not exist");
  identity_ = identify_segment(file_);
  header_ = read_segment_header(file_);
  void* where = mmap(nullptr, header_.total_bytes, PROT_READ, MAP_SHARED, file_.get(), 0);
  if (where == MAP_FAILED)
    throw std::runtime_error("cannot map segment " + name_ + " of " + std::to_string(header_.total_bytes)
                             + " bytes: " + system_text(errno));
  data_ = static_cast<const std::byte*>(where);
  try {
    guard_.emplace(data_, header_.total_bytes);
    if (header_.has_confidence && header_.confidence_offset % alignof(float) != 0) {
      confidence_.resize(header_.point_count);
      std::memcpy(confidence_.data(), data_ + header_.confidence_offset, 4 * confidence_.size());
    }
  } catch (...) {
    guard_.reset();
    munmap(where, header_.total_bytes);
    throw;
  }
}

shm_segment::~shm_segment() {
  guard_.reset();
  munmap(const_cast<std::byte*>(data_), header_.total_bytes);
}

std::span<const float> shm_segment::points() const {
  return {reinterpret_cast<const float*>(data_ + header_.points_offset), size_t{header_.point_count} * 3};
}

std::span<const uint8_t> shm_segment::colours() const {
  return {reinterpret_cast<const uint8_t*>(data_ + header_.colours_offset), size_t{header_.point_count} * header_.channels};
}

std::span<const float> shm_segment::confidence() const {
  if (!header_.has_confidence)
    return {};
  if (!confidence_.empty())
    return confidence_;
  return {reinterpret_cast<const float*>(data_ + header_.confidence_offset), header_.point_count};
}

std::string shm_segment::torn() const {
  auto now = identify_segment(file_);
  if (now.bytes != identity_.bytes)
    return "segment " + name_ + " changed its size from " + std::to_string(identity_.bytes) + " to " + std::to_string(now.bytes)
           + " bytes while it was read";
  if (guard_->hit())
    return "segment " + name_ + " was cut short while it was read";
  if (!now.same_content(identity_))
    return "segment " + name_ + " was written to again while it was read";
  return {};
}

void shm_segment::unlink() const {
  try {
    auto file = open_segment(name_);
    if (!file.valid() || !identify_segment(file).same_content(identity_))
      return;
  } catch (const std::runtime_error&) {
    return; // The name is something else by now: not ours to take away.
  }
  // A producer may put a new segment in its place just now. So whatever has the name is moved aside, looked
  // at, and put back if it is not the one that was read: that one is still open, so no other has its inode.
  static std::atomic<uint64_t> number = 0;
  const auto path = shm_folder + name_;
  const auto aside = std::string(shm_folder) + "/.tessera-done-" + std::to_string(getpid()) + "-" + std::to_string(number++);
  struct stat moved {};
  if (::rename(path.c_str(), aside.c_str()) != 0) {
    if (errno != ENOENT)
      warn_of_unlinking(name_, errno);
    return;
  }
  const bool another
    = ::lstat(aside.c_str(), &moved) == 0 && (moved.st_ino != identity_.inode || moved.st_dev != identity_.device);
  if (another && ::renameat2(AT_FDCWD, aside.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0)
    return;
  ::unlink(aside.c_str());
}

} // namespace tessera
