#pragma once

#include "net/sources/bad_input.hpp"
#include "net/sources/descriptor.hpp"
#include "net/sources/not_now_error.hpp"
#include "net/sources/segment_header.hpp"
#include "net/sources/sigbus_guard.hpp"

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace tessera {

/// Where glibc keeps POSIX shared memory; shm_open knows no other place on Linux.
inline constexpr const char* shm_folder = "/dev/shm";

/// What a name is on its way out is called so, and then something.
inline constexpr const char* aside_prefix = ".tessera-done-";

/// The segment does not exist: not yet, or not any more. Who can wait for it catches this before bad_input.
class no_such_segment : public bad_input {
public:
  using bad_input::bad_input;
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
  [[nodiscard]] bool same_content(const segment_identity& o) const {
    return same_file(o) && bytes == o.bytes && modified.tv_sec == o.modified.tv_sec && modified.tv_nsec == o.modified.tv_nsec
           && digest == o.digest;
  }
};

/// A POSIX shared memory segment mapped for reading: the points of a keyframe where the producer wrote them,
/// without a copy. The segment may be cut short, unlinked or written to while it is read: reading goes on
/// (over zeros, where memory is gone), and torn() tells.
///
/// Threads: any.
class shm_segment final : public keyframe_body {
public:
  /// Opens and maps `name` (checked_segment_name). Throws no_such_segment; bad_input if it is no plain file, or its
  /// size does not fit its header and it was not written to within settle_time; no_permission; not_now_error if
  /// it may be good later: the system will not open, read or map it, or it is just being written. Anything else that is
  /// thrown (std::bad_alloc) is no fault of the segment either.
  explicit shm_segment(std::string name);
  ~shm_segment() override;
  shm_segment(const shm_segment&) = delete;
  shm_segment& operator=(const shm_segment&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const segment_header& header() const { return header_; }
  /// As it was when it was mapped.
  [[nodiscard]] const segment_identity& identity() const { return identity_; }

  [[nodiscard]] std::span<const float> points() const override;
  [[nodiscard]] std::span<const uint8_t> colours() const override;
  [[nodiscard]] uint32_t channels() const override { return header_.channels; }
  [[nodiscard]] std::span<const float> confidence() const override;
  [[nodiscard]] std::string torn() const override;

  /// A digest of all of its bytes (XXH3) but the time: what is sent again later is the same keyframe. Reads them all: 0.5 ms for
  /// 4 MB.
  [[nodiscard]] uint64_t content_digest() const;

  /// Takes the name away, unless it names something else by now or the content has changed: that belongs to a
  /// later keyframe. Returns false if there is something of that kind under the name.
  bool unlink() const;

private:
  std::string name_;
  descriptor file_;
  segment_header header_;
  segment_identity identity_;
  const std::byte* data_ = nullptr;
  std::optional<sigbus_guard> guard_;
  std::vector<float> confidence_; // a copy, if the mapping's is not aligned
};

/// Opens a segment for reading; an invalid descriptor if it does not exist. Throws bad_input if it is no
/// plain file, no_permission, not_now_error.
descriptor open_segment(const std::string& name);

/// Unlinks a segment that is bad: no plain file, or one that fits no header. What is good by now, was written to within
/// settle_time, or cannot be looked at, stays.
void discard_segment(const std::string& name);

/// Reads what a segment is now. Throws not_now_error.
segment_identity identify_segment(const descriptor& file);

/// Reads and checks a segment's header without mapping it. Throws bad_input, not_now_error.
segment_header read_segment_header(const descriptor& file);

} // namespace tessera
