#pragma once

#include "gpu/host/host_memory.hpp"
#include "net/sources/shm/segment_file.hpp"
#include "net/sources/shm/sigbus_guard.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace tessera {

/// A segment was written to while it was read: what was read is of no use.
class segment_torn : public not_now_error {
public:
  using not_now_error::not_now_error;
};

/// The points of a keyframe in a POSIX shared memory segment, in one of two ways:
///
/// - *mapped*: where the producer wrote them, without a copy. The segment may be cut short, unlinked or written to while the
///   points are used: reading goes on (over zeros, where memory is gone), and torn() tells.
/// - *read* into a host_memory, which GPUs then read by themselves. What is written to the segment afterwards changes nothing.
///
/// A segment is read in pieces, which several threads may share: read_piece() for each of pieces(), then finish(). Nothing else
/// may be asked of one that is read into memory before. A mapped one needs neither, but they bring its pages and its digest.
///
/// Threads: any, for what is const; but for let_go().
class shm_segment final : public page_locked_body {
public:
  /// Opens `name` (checked_segment_name), and maps it, or makes room for it. Throws no_such_segment; bad_input if it is no plain
  /// file, or its size does not fit its header and it was not written to within settle_time; no_permission; not_now_error if it
  /// may be good later: the system will not open, read or map it, or it is just being written. Anything else that is thrown
  /// (std::bad_alloc) is no fault of the segment either.
  explicit shm_segment(const std::string& name, host_memory* memory = nullptr);
  /// One that is open already.
  shm_segment(std::string name, descriptor file, host_memory* memory);
  ~shm_segment() override;
  shm_segment(const shm_segment&) = delete;
  shm_segment& operator=(const shm_segment&) = delete;

  /// How many pieces it has: at least one.
  [[nodiscard]] size_t pieces() const { return digests_.size(); }
  /// Reads a piece, or brings its pages. Each once; threads: any, at once. Throws not_now_error; segment_torn if the segment was
  /// cut short.
  void read_piece(size_t piece);
  /// When all pieces are there: sees whether they are of one whole. Throws segment_torn, not_now_error.
  void finish();
  /// All of the above, in this thread.
  void read_all();

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const segment_header& header() const { return header_; }
  /// Its points are where the producer wrote them, and not in memory of ours.
  [[nodiscard]] bool mapped() const { return !read_; }
  /// As it was when it was mapped or read.
  [[nodiscard]] const segment_identity& identity() const { return identity_; }

  [[nodiscard]] std::span<const float> points() const override;
  [[nodiscard]] std::span<const uint8_t> colours() const override;
  [[nodiscard]] uint32_t channels() const override { return header_.channels; }
  [[nodiscard]] std::span<const float> confidence() const override;
  [[nodiscard]] bool page_locked() const override { return block_.page_locked; }
  /// Of a segment that was read: nothing, ever.
  [[nodiscard]] std::string torn() const override;

  /// A digest of all of its bytes but the time: what is sent again later is the same keyframe. Known after finish(); else it
  /// reads them all: 0.5 ms for 4 MB.
  [[nodiscard]] uint64_t content_digest() const;

  /// Takes the name away, unless it names something else by now or the content has changed: that belongs to a later keyframe.
  /// Samples of the content tell; all of it, after finish(), if somebody may still write to it, which takes as long as to read
  /// it. Returns false if there is something of that kind under the name.
  bool unlink() const;
  /// Closes the file if nothing in it is needed for the points: its memory goes when nobody else has it. Not unlink() after it.
  void let_go();

private:
  /// Bytes of the file that are read at once, and where they lie in our memory.
  struct part {
    uint64_t offset, bytes, place;
  };
  [[nodiscard]] part part_of(size_t piece) const;
  [[nodiscard]] uint64_t digest_of(size_t piece, std::span<const std::byte> bytes) const;
  /// Where the file's bytes from `offset` on lie in our memory.
  [[nodiscard]] uint64_t place_of(uint64_t offset) const;
  [[nodiscard]] bool holds_all_of_it() const;
  void map();
  /// Takes the header of what was read instead of the one that was read before. False if another layout came with it.
  bool takes_its_header();

  std::string name_;
  const bool read_; ///< into memory of ours
  descriptor file_;
  segment_identity identity_; ///< from before the header was read; the samples of one that is read are those of what was read
  segment_header header_;
  const std::byte* data_ = nullptr; ///< the mapping, or the block's memory
  host_block block_;                ///< none if it is mapped
  std::optional<sigbus_guard> guard_;
  std::vector<float> confidence_;  ///< a copy, if the mapping's is not aligned
  size_t front_pieces_ = 0;        ///< before the confidence
  std::vector<uint64_t> digests_;  ///< of the pieces
  std::optional<uint64_t> digest_; ///< of them all
};

} // namespace tessera
