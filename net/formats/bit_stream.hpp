#pragma once
// Bits, the highest of a byte first.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tessera {

/// Appends bits to bytes that are there already. Threads: one.
class bit_writer {
  static_assert(std::endian::native == std::endian::little, "words are turned round");

public:
  explicit bit_writer(std::vector<std::byte> to) : bytes_(std::move(to)), at_(bytes_.size()) {}

  /// Makes room for that many bits more, which must be there for them.
  void reserve(size_t bits) { bytes_.resize(std::max(bytes_.size(), at_ + bits / 8 + 2 * sizeof waiting_)); }

  /// Puts the lowest `count` bits of a value that has no others. There is room for 63; flush() leaves up to 7 of them taken.
  void put(uint32_t value, uint32_t count) {
    waiting_ = waiting_ << count | value;
    count_ += count;
  }

  /// Writes what is there if that many bits more might not fit.
  void make_room(uint32_t bits) {
    if (count_ + bits > 63)
      flush();
  }

  /// Writes what is there. All of a word, so that nothing depends on how much it is.
  void flush() {
    const auto word = __builtin_bswap64(waiting_ << (63 - count_) << 1);
    std::memcpy(&bytes_[at_], &word, sizeof word);
    at_ += count_ / 8;
    count_ %= 8;
  }

  /// Returns all bytes; what is left of the last one is 0.
  std::vector<std::byte> finish() {
    reserve(0);
    flush();
    bytes_.resize(at_ + (count_ > 0 ? 1 : 0));
    return std::move(bytes_);
  }

private:
  std::vector<std::byte> bytes_;
  size_t at_;
  uint64_t waiting_ = 0; ///< its lowest `count_` bits
  uint32_t count_ = 0;
};

/// Reads bits from outside. Throws std::invalid_argument where there are none left.
class bit_reader {
public:
  explicit bit_reader(std::span<const std::byte> from) : from_(from) {}

  /// Returns the next `count` bits: 0 to 32.
  uint32_t get(uint32_t count) {
    const auto value = static_cast<uint32_t>((next() >> 1) >> (63 - count));
    skip(count);
    return value;
  }

  /// Returns how many zeros come before the next one, and goes past both; at most `most` zeros, and then no one after them.
  uint32_t zeros(uint32_t most) {
    const auto count = std::min(static_cast<uint32_t>(std::countl_zero(next())), most);
    skip(count + (count < most ? 1 : 0));
    return count;
  }

  [[nodiscard]] size_t bits_left() const { return 8 * from_.size() - at_; }

private:
  /// At least 56 bits, from the highest on; zeros after the end.
  [[nodiscard]] uint64_t next() const {
    uint64_t word = 0;
    const auto byte = at_ / 8;
    if (byte + sizeof word <= from_.size())
      std::memcpy(&word, &from_[byte], sizeof word);
    else if (byte < from_.size())
      std::memcpy(&word, &from_[byte], from_.size() - byte);
    return __builtin_bswap64(word) << at_ % 8;
  }
  void skip(uint32_t count) {
    at_ += count;
    if (at_ > 8 * from_.size())
      throw std::invalid_argument("payload: its " + std::to_string(from_.size()) + " bytes of bits end too early");
  }

  std::span<const std::byte> from_;
  size_t at_ = 0;
};

} // namespace tessera
