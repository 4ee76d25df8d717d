#pragma once
// POSIX shared memory segments as files: their names, what they are at a moment, and how they are taken away.

#include "net/base/bad_input.hpp"
#include "net/base/descriptor.hpp"
#include "net/base/not_now_error.hpp"
#include "net/formats/segment_header.hpp"

#include <sys/stat.h>
#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tessera {

/// Where glibc keeps POSIX shared memory; shm_open knows no other place on Linux.
inline constexpr const char* shm_folder = "/dev/shm";

/// Why keyframes may not fit into the folder of shared memory, and what to do; nothing if they do. `bytes`: its size, as
/// statvfs() tells it, or nothing if it cannot be asked. Docker gives a container 64 MiB.
std::string too_small_for_segments(std::optional<uint64_t> bytes);
/// The size of a folder's file system.
std::optional<uint64_t> size_of_file_system(const char* folder);

/// What a name is on its way out is called so, and then something.
inline constexpr const char* aside_prefix = ".tessera-done-";

/// The segment does not exist: not yet, or not any more. Who can wait for it catches this before bad_input.
class no_such_segment : public bad_input {
public:
  using bad_input::bad_input;
};

/// The segment fits no header, and was written to a moment ago: its writer is at work.
class segment_unsettled : public not_now_error {
public:
  using not_now_error::not_now_error;
};

/// Returns the segment's name as shm_open wants it ("/name"; the slash may be missing in `name`). Throws
/// bad_input unless it begins with `prefix`, goes on after it, has no further slash, no "..", no control
/// character, and at most 255 bytes.
std::string checked_segment_name(std::string_view name, std::string_view prefix);

/// A segment that fits no header is bad once it has been left alone for so long: until then somebody may be writing it.
inline constexpr auto settle_time = std::chrono::seconds(1);

/// A reading of what a segment is at one moment: equal readings mean that, as far as can be told without
/// reading all of it, the segment holds what it held.
struct segment_identity {
  dev_t device = 0;
  ino_t inode = 0;
  off_t bytes = 0;
  timespec modified{};
  /// Of the header and of samples spread over the content: producers that write through a mapping change no
  /// time stamp.
  uint64_t digest = 0;
  /// Every page of the file has been written to.
  bool whole = false;

  [[nodiscard]] bool same_file(const segment_identity& o) const { return device == o.device && inode == o.inode; }
  /// The same but for what only a look into the file tells.
  [[nodiscard]] bool same_state(const segment_identity& o) const {
    return same_file(o) && bytes == o.bytes && modified.tv_sec == o.modified.tv_sec && modified.tv_nsec == o.modified.tv_nsec;
  }
  [[nodiscard]] bool same_content(const segment_identity& o) const { return same_state(o) && digest == o.digest; }
};

/// Opens a segment for reading; an invalid descriptor if it does not exist. Throws bad_input if it is no
/// plain file, no_permission, not_now_error.
descriptor open_segment(const std::string& name);

/// Unlinks a segment that is bad: no plain file, or one that fits no header. What is good by now, was written to within
/// settle_time, or cannot be looked at, stays.
void discard_segment(const std::string& name);

/// Reads what a segment is now, but for its digest. Throws not_now_error.
segment_identity state_of_segment(const descriptor& file);
/// Reads what a segment is now. Throws not_now_error.
segment_identity identify_segment(const descriptor& file);

/// Whether somebody may write to the file just now: has it open for writing, or has mapped it so. Also true if that cannot be
/// told (another user's file).
bool may_be_written(const descriptor& file);

/// Fills `to` with the bytes at `offset`, as far as there are so many.
using segment_reader = std::function<void(std::span<std::byte> to, uint64_t offset)>;
/// The digest of header and samples of a segment of so many bytes.
uint64_t sample_digest(uint64_t bytes, const segment_reader& read);

/// Reads at `offset` through the descriptor, which no truncation can turn into a signal. Returns how much there was. Throws
/// not_now_error.
size_t read_segment(const descriptor& file, std::span<std::byte> to, uint64_t offset);

/// Reads and checks a segment's header. Throws bad_input; segment_unsettled if it was written to within settle_time;
/// not_now_error if it cannot be read.
segment_header read_settled_header(const descriptor& file, const std::string& name);
/// Reads and checks a segment's header. Throws bad_input, not_now_error.
segment_header read_segment_header(const descriptor& file);

/// Takes a name away if what lies under it `is_it_asked`, which may throw if it cannot be told, and may take its time;
/// `is_it_still` is asked about it when it has no name any more, and should not. Returns false if something else lies there: it
/// keeps its name.
bool take_segment_away(const std::string& name, const std::function<bool(const struct stat&)>& is_it_asked,
                       const std::function<bool(const struct stat&)>& is_it_still);

} // namespace tessera
