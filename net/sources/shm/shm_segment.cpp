#include "net/sources/shm/shm_segment.hpp"

#include "messages/xxh3.hpp"
#include "net/base/shortage.hpp"
#include "net/base/utf8.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace tessera {

namespace {

/// A piece is still in the cache of the core that read it when its digest is made.
constexpr uint64_t piece_bytes = 128 << 10;
constexpr size_t time_bytes = 8; // in front, in both forms

size_t pieces_of(uint64_t bytes) {
  return (bytes + piece_bytes - 1) / piece_bytes;
}

descriptor open_existing(const std::string& name) {
  auto file = open_segment(name);
  if (!file.valid())
    throw no_such_segment("segment " + printable(name, 300) + " does not exist");
  return file;
}

} // namespace

shm_segment::shm_segment(const std::string& name, host_memory* memory) : shm_segment(name, open_existing(name), memory) {}

shm_segment::shm_segment(std::string name, descriptor file, host_memory* memory)
  : name_(std::move(name)), read_(memory != nullptr), file_(std::move(file)),
    identity_(read_ ? state_of_segment(file_) : identify_segment(file_)), header_(read_settled_header(file_, name_)) {
  const uint64_t front = header_.has_confidence ? header_.confidence_offset : header_.total_bytes;
  front_pieces_ = pieces_of(front);
  digests_.resize(front_pieces_ + pieces_of(header_.total_bytes - front));
  if (read_) {
    block_ = memory->take(place_of(header_.total_bytes));
    data_ = block_.data.get();
  } else {
    map();
  }
}

void shm_segment::map() {
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
  if (!guard_)
    return;
  guard_.reset();
  munmap(const_cast<std::byte*>(data_), header_.total_bytes);
}

// Confidence is read to where it is aligned, up to three bytes behind its place in the file.
uint64_t shm_segment::place_of(uint64_t offset) const {
  constexpr uint64_t unit = alignof(float);
  return read_ && header_.has_confidence && offset >= header_.confidence_offset
           ? offset + (unit - header_.confidence_offset % unit) % unit
           : offset;
}

shm_segment::part shm_segment::part_of(size_t piece) const {
  const bool in_front = piece < front_pieces_;
  const uint64_t from = in_front ? 0 : header_.confidence_offset;
  const uint64_t to = in_front && header_.has_confidence ? header_.confidence_offset : header_.total_bytes;
  const uint64_t offset = from + (in_front ? piece : piece - front_pieces_) * piece_bytes;
  return {offset, std::min(piece_bytes, to - offset), place_of(offset)};
}

uint64_t shm_segment::digest_of(size_t piece, std::span<const std::byte> bytes) const {
  const auto counted = bytes.subspan(piece == 0 ? time_bytes : 0);
  return XXH3_64bits(counted.data(), counted.size());
}

void shm_segment::read_piece(size_t piece) {
  const auto lies = part_of(piece);
  if (read_ && read_segment(file_, {block_.data.get() + lies.place, lies.bytes}, lies.offset) < lies.bytes)
    throw segment_torn("segment " + name_ + " was cut short while it was read");
  digests_[piece] = digest_of(piece, {data_ + lies.place, lies.bytes});
}

void shm_segment::finish() {
  if (read_) {
    identity_.digest = sample_digest(header_.total_bytes, [&](std::span<std::byte> to, uint64_t offset) {
      for (auto& each : to) // one by one, since confidence may begin in between
        each = data_[place_of(offset++)];
    });
    if (!identify_segment(file_).same_content(identity_) || !takes_its_header())
      throw segment_torn("segment " + name_ + " was written to while it was read");
  }
  digest_ = XXH3_64bits(digests_.data(), digests_.size() * sizeof(uint64_t));
}

bool shm_segment::takes_its_header() {
  try {
    const auto now = parse_segment_header({data_, long_header_bytes}, header_.total_bytes);
    const bool same = now.point_count == header_.point_count && now.channels == header_.channels
                      && now.header_bytes == header_.header_bytes && now.has_confidence == header_.has_confidence;
    if (same)
      header_ = now;
    return same;
  } catch (const bad_input&) {
    return false;
  }
}

void shm_segment::read_all() {
  for (size_t piece = 0; piece < pieces(); ++piece)
    read_piece(piece);
  finish();
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
  return {reinterpret_cast<const float*>(data_ + place_of(header_.confidence_offset)), header_.point_count};
}

std::string shm_segment::torn() const {
  if (read_)
    return {};
  const auto now = identify_segment(file_);
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
  if (digest_)
    return *digest_;
  std::vector<uint64_t> digests(pieces());
  for (size_t piece = 0; piece < pieces(); ++piece) {
    const auto lies = part_of(piece);
    digests[piece] = digest_of(piece, {data_ + lies.place, lies.bytes});
  }
  return XXH3_64bits(digests.data(), digests.size() * sizeof(uint64_t));
}

bool shm_segment::holds_all_of_it() const {
  // Some processors copy several times slower to where a page does not begin.
  struct alignas(4096) room_for_one {
    std::array<std::byte, piece_bytes> bytes;
  };
  const auto room = read_ ? std::make_unique<room_for_one>() : nullptr;
  for (size_t piece = 0; piece < pieces(); ++piece) {
    const auto lies = part_of(piece);
    std::span<const std::byte> bytes(data_ + lies.place, lies.bytes);
    if (read_) {
      const auto now = std::span(room->bytes).first(lies.bytes);
      if (read_segment(file_, now, lies.offset) < lies.bytes)
        return false;
      bytes = now;
    }
    if (digest_of(piece, bytes) != digests_[piece])
      return false;
  }
  return true;
}

bool shm_segment::unlink() const {
  // Through the descriptor that was read from: no other file can have its inode while it is open, and none is needed when
  // descriptors are short.
  const auto is_it = [&](const struct stat& s) {
    return s.st_ino == identity_.inode && s.st_dev == identity_.device && identify_segment(file_).same_content(identity_);
  };
  // Who writes through a mapping that is still there leaves no other trace than the content.
  const auto all_of_it
    = [&](const struct stat& s) { return is_it(s) && (!digest_ || !may_be_written(file_) || holds_all_of_it()); };
  // Once it has no name, only what was written to it in that moment matters.
  const auto still = [&](const struct stat& s) {
    return s.st_ino == identity_.inode && s.st_dev == identity_.device && state_of_segment(file_).same_state(identity_);
  };
  return take_segment_away(name_, all_of_it, still);
}

void shm_segment::let_go() {
  if (read_)
    file_ = {};
}

} // namespace tessera
