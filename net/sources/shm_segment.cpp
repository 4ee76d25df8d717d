#include "net/sources/shm_segment.hpp"

#include "net/sources/bad_input.hpp"
#include "net/sources/shortage.hpp"
#include "net/sources/utf8.hpp"

#include <spdlog/spdlog.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <random>
#include <set>
#include <system_error>

#define XXH_INLINE_ALL // its one function that is used here, and nothing to link
#include <xxhash.h>

namespace tessera {

namespace {

constexpr size_t longest_name = 255;

std::string system_text(int error) {
  return std::generic_category().message(error);
}

struct stat stat_of(const descriptor& file) {
  struct stat s {};
  if (fstat(file.get(), &s) != 0)
    throw_not_now("cannot stat a shared memory segment", errno);
  return s;
}

/// Reads up to `bytes` at `offset` through the descriptor, which no truncation can turn into a signal.
size_t read_some(const descriptor& file, std::byte* to, size_t bytes, off_t offset) {
  size_t got = 0;
  while (got < bytes) {
    auto n = pread(file.get(), to + got, bytes - got, offset + static_cast<off_t>(got));
    if (n < 0 && errno == EINTR)
      continue;
    if (n < 0)
      throw_not_now("cannot read a shared memory segment", errno);
    if (n == 0)
      break;
    got += static_cast<size_t>(n);
  }
  return got;
}

/// Whose the file is, and who we are: what somebody needs to know who wants to put that right.
std::string whose(const struct stat& s) {
  std::array<char, 8> mode{};
  std::snprintf(mode.data(), mode.size(), "%03o", static_cast<unsigned>(s.st_mode & 07777));
  return "it belongs to uid " + std::to_string(s.st_uid) + ", gid " + std::to_string(s.st_gid) + ", has mode " + mode.data()
         + ", and this service runs as uid " + std::to_string(geteuid()) + ", gid " + std::to_string(getegid());
}

/// Said once for each owner: the next segment of the same producer has the same fault.
void warn_of_unlinking(const std::string& name, int error) {
  struct stat s {};
  const bool known = lstat((shm_folder + name).c_str(), &s) == 0;
  static std::mutex mutex;
  static std::set<uid_t> told;
  {
    std::lock_guard lock(mutex);
    if (known && !told.insert(s.st_uid).second)
      return;
  }
  spdlog::warn("segment {} cannot be unlinked, and stays: {}{}", printable(name, 300), system_text(error),
               known
                 ? "; " + whose(s) + ". " + shm_folder
                     + " is sticky: only the owner of a segment, or root, takes it away. Run both as the same user, or have the "
                       "producer remove them (said once for each owner)"
                 : "");
}

/// Its content changed a moment ago, by the file system's clock. A time in the future says nothing.
bool just_written(const struct stat& s) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  auto age = std::chrono::seconds(now.tv_sec - s.st_mtim.tv_sec) + std::chrono::nanoseconds(now.tv_nsec - s.st_mtim.tv_nsec);
  return age < settle_time && age > -settle_time;
}

/// Takes a name away if what lies under it `is_it_asked`. Returns false if something else lies there.
///
/// POSIX has no "unlink if". To look and then to unlink would lose whatever is renamed into the place in between, and for good:
/// nobody else has it, and its producer believes that it is delivered. So whatever has the name is first moved aside, to a name
/// of our own that nobody else writes, looked at there, and put back if it is another's. Meanwhile, for some microseconds, its
/// name is missing: a consumer who asks for it just then finds nothing and asks again, and a producer who comes with something
/// newer takes the place, which then replaces what we hold, as its own rename would have. What stays open is a writer who has the
/// old segment mapped and changes it between the look and the unlink; it was announced, and should not be written to.
template <class F>
bool take_away(const std::string& name, F is_it_asked) {
  auto is_it = [&](const struct stat& s) {
    try {
      return is_it_asked(s);
    } catch (const std::exception&) {
      return false; // what cannot be looked at may be another's
    }
  };
  static const std::string run = std::to_string(getpid()) + "-" + std::to_string(std::random_device{}());
  static std::atomic<uint64_t> number = 0;
  const auto path = shm_folder + name;
  struct stat s {};
  if (::lstat(path.c_str(), &s) != 0)
    return true;
  if (!is_it(s))
    return false;
  const auto aside = std::string(shm_folder) + "/" + aside_prefix + run + "-" + std::to_string(number++);
  if (::rename(path.c_str(), aside.c_str()) != 0) {
    if (errno != ENOENT)
      warn_of_unlinking(name, errno);
    return true;
  }
  if (::lstat(aside.c_str(), &s) != 0)
    return true;
  if (is_it(s)) {
    ::unlink(aside.c_str());
    return true;
  }
  // Neither way replaces what lies there by now; where renameat2 has no flags, link is as good.
  if (::renameat2(AT_FDCWD, aside.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) != 0) {
    if (errno != EEXIST && ::link(aside.c_str(), path.c_str()) != 0 && errno != EEXIST)
      spdlog::error("segment {} could not be put back, and is lost: {}", printable(name, 300), system_text(errno));
    ::unlink(aside.c_str());
  }
  return false;
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
  const int error = errno;
  const auto said = "segment " + printable(name, 300);
  if (!file.valid()) {
    const auto why = said + " cannot be opened: " + system_text(error);
    struct stat s {};
    switch (error) {
    case ENOENT:
      return file;
    case EACCES:
    case EPERM:
      throw no_permission(::lstat((shm_folder + name).c_str(), &s) != 0
                            ? why
                            : why + "; " + whose(s)
                                + ". Run both as the same user, or have the producer write segments that others may read "
                                  "(its mode, 0644; umask 022), or chmod this one; it is tried again");
    case ELOOP: // a symbolic link
    case EINVAL:
    case ENAMETOOLONG:
    case EISDIR:
    case ENOTDIR:
    case ENXIO: // a socket
    case ENODEV:
      throw bad_input(why);
    default:
      throw_not_now(said + " cannot be opened", error);
    }
  }
  if (!S_ISREG(stat_of(file).st_mode))
    throw bad_input(said + " is not a plain shared memory segment");
  return file;
}

void discard_segment(const std::string& name) {
  try {
    auto file = open_segment(name);
    if (!file.valid())
      return;
    auto bad = identify_segment(file);
    try {
      (void)read_segment_header(file);
      return;
    } catch (const bad_input&) {
      take_away(name, [&](const struct stat& s) {
        return s.st_ino == bad.inode && s.st_dev == bad.device && identify_segment(file).same_content(bad) && !just_written(s);
      });
    }
  } catch (const bad_input&) { // a pipe, a folder, a link: there is nothing to be read
    take_away(name, [](const struct stat& s) { return !S_ISREG(s.st_mode) && !S_ISDIR(s.st_mode); });
  } catch (const std::exception&) {
    return; // what cannot be looked at is not known to be bad
  }
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
  try {
    header_ = read_segment_header(file_);
  } catch (const bad_input& e) {
    if (just_written(stat_of(file_)))
      throw not_now_error("segment " + printable(name_, 300) + " is being written: " + e.what());
    throw;
  }
  void* where = mmap(nullptr, header_.total_bytes, PROT_READ, MAP_SHARED, file_.get(), 0);
  if (where == MAP_FAILED)
    throw_not_now("cannot map segment " + printable(name_, 300) + " of " + std::to_string(header_.total_bytes) + " bytes", errno);
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

uint64_t shm_segment::content_digest() const {
  constexpr size_t time_bytes = 8; // in front, in both forms
  return XXH3_64bits(data_ + time_bytes, header_.total_bytes - time_bytes);
}

bool shm_segment::unlink() const {
  // Through the descriptor that was read from: no other file can have its inode while it is open, and none is needed when
  // descriptors are short.
  return take_away(name_, [&](const struct stat& s) {
    return s.st_ino == identity_.inode && s.st_dev == identity_.device && identify_segment(file_).same_content(identity_);
  });
}

} // namespace tessera
