#include "net/sources/shm/segment_file.hpp"

#include "net/base/bad_input.hpp"
#include "net/base/shortage.hpp"
#include "net/base/utf8.hpp"

#include <spdlog/spdlog.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <random>
#include <set>
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
    throw_not_now("cannot stat a shared memory segment", errno);
  return s;
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

uint64_t mix(uint64_t h, uint64_t word) {
  h = (h ^ word) * 0x9e3779b97f4a7c15u;
  return h ^ (h >> 32);
}

bool is(const std::function<bool(const struct stat&)>& it, const struct stat& s) {
  try {
    return it(s);
  } catch (const std::exception&) {
    return false; // what cannot be looked at may be another's
  }
}

} // namespace

std::string too_small_for_segments(std::optional<uint64_t> bytes) {
  constexpr uint64_t mib = uint64_t{1} << 20, enough = 256 * mib;
  if (!bytes)
    return std::string{shm_folder} + " is not there, so that keyframes cannot come through shared memory";
  if (*bytes >= enough)
    return {};
  return std::string{shm_folder} + " has " + std::to_string(*bytes / mib)
         + " MiB: a keyframe of 300,000 points takes 5, and where they do not fit producers fail. Give it more: docker run "
           "--shm-size 1g, or --ipc host for the machine's own; elsewhere mount -o remount,size=1g "
         + shm_folder;
}

std::optional<uint64_t> size_of_file_system(const char* folder) {
  struct statvfs its {};
  if (::statvfs(folder, &its) != 0)
    return std::nullopt;
  return static_cast<uint64_t>(its.f_blocks) * its.f_frsize;
}

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
      const auto still_bad = [&](const struct stat& s) {
        return s.st_ino == bad.inode && s.st_dev == bad.device && identify_segment(file).same_content(bad) && !just_written(s);
      };
      take_segment_away(name, still_bad, still_bad);
    }
  } catch (const bad_input&) { // a pipe, a folder, a link: there is nothing to be read
    const auto no_segment = [](const struct stat& s) { return !S_ISREG(s.st_mode) && !S_ISDIR(s.st_mode); };
    take_segment_away(name, no_segment, no_segment);
  } catch (const std::exception&) {
    return; // what cannot be looked at is not known to be bad
  }
}

segment_identity state_of_segment(const descriptor& file) {
  const auto s = stat_of(file);
  segment_identity id;
  id.device = s.st_dev;
  id.inode = s.st_ino;
  id.bytes = s.st_size;
  id.modified = s.st_mtim;
  id.whole = s.st_blocks * 512 >= s.st_size;
  return id;
}

segment_identity identify_segment(const descriptor& file) {
  auto id = state_of_segment(file);
  id.digest = sample_digest(static_cast<uint64_t>(id.bytes),
                            [&](std::span<std::byte> to, uint64_t offset) { (void)read_segment(file, to, offset); });
  return id;
}

bool may_be_written(const descriptor& file) {
  // The system gives a read lease only while no such file is open, and a writable mapping keeps one open. It is given back at
  // once. Should somebody open it for writing meanwhile, they wait until then, and we are sent a signal: one that nobody heeds,
  // instead of SIGIO, which would be our end.
  if (fcntl(file.get(), F_SETSIG, SIGURG) != 0 || fcntl(file.get(), F_SETLEASE, F_RDLCK) != 0)
    return true;
  fcntl(file.get(), F_SETLEASE, F_UNLCK);
  return false;
}

uint64_t sample_digest(uint64_t bytes, const segment_reader& read) {
  constexpr uint64_t samples = 32, sample_bytes = 16;
  uint64_t digest = mix(1, bytes);
  std::array<std::byte, 112> piece{};
  static_assert(piece.size() >= long_header_bytes && piece.size() % 8 == 0);
  const auto add = [&](size_t count, uint64_t offset) {
    piece.fill(std::byte{});
    read(std::span(piece).first(std::min<uint64_t>(count, bytes - offset)), offset);
    for (size_t i = 0; i < count; i += 8) {
      uint64_t word = 0;
      std::memcpy(&word, piece.data() + i, 8);
      digest = mix(digest, word);
    }
  };
  add(long_header_bytes, 0);
  if (bytes <= long_header_bytes)
    return digest;
  // The last sample ends with the segment.
  const uint64_t span = bytes - long_header_bytes;
  for (uint64_t k = 1; k <= samples; ++k)
    add(sample_bytes, long_header_bytes + span * k / samples - sample_bytes);
  return digest;
}

size_t read_segment(const descriptor& file, std::span<std::byte> to, uint64_t offset) {
  size_t got = 0;
  while (got < to.size()) {
    const auto n = pread(file.get(), to.data() + got, to.size() - got, static_cast<off_t>(offset + got));
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

segment_header read_segment_header(const descriptor& file) {
  std::array<std::byte, long_header_bytes> begin{};
  const size_t got = read_segment(file, begin, 0);
  return parse_segment_header(std::span(begin).first(got), static_cast<uint64_t>(stat_of(file).st_size));
}

segment_header read_settled_header(const descriptor& file, const std::string& name) {
  try {
    return read_segment_header(file);
  } catch (const bad_input& e) {
    if (just_written(stat_of(file)))
      throw segment_unsettled("segment " + printable(name, 300) + " is being written: " + e.what());
    throw;
  }
}

// POSIX has no "unlink if it is still this one": so rename it aside, look at it there, and put it back if it is another's. To
// look and then to unlink would lose whatever is renamed into the place in between, and for good: nobody else has it, and its
// producer believes that it is delivered. The name aside is one of our own that nobody else writes. Meanwhile, for some
// microseconds, its name is missing: a consumer who asks for it just then finds nothing and asks again, and a producer who comes
// with something newer takes the place, which then replaces what we hold, as its own rename would have. What stays open is a
// writer who has the old segment mapped and changes it between the look and the unlink, or behind the samples of the second; it
// was announced, and should not be written to.
bool take_segment_away(const std::string& name, const std::function<bool(const struct stat&)>& is_it_asked,
                       const std::function<bool(const struct stat&)>& is_it_still) {
  static const std::string run = std::to_string(getpid()) + "-" + std::to_string(std::random_device{}());
  static std::atomic<uint64_t> number = 0;
  const auto path = shm_folder + name;
  struct stat s {};
  if (::lstat(path.c_str(), &s) != 0)
    return true;
  if (!is(is_it_asked, s))
    return false;
  const auto aside = std::string(shm_folder) + "/" + aside_prefix + run + "-" + std::to_string(number++);
  if (::rename(path.c_str(), aside.c_str()) != 0) {
    if (errno != ENOENT)
      warn_of_unlinking(name, errno);
    return true;
  }
  if (::lstat(aside.c_str(), &s) != 0)
    return true;
  if (is(is_it_still, s)) {
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

} // namespace tessera
