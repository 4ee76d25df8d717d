#pragma once
// An adaptive binary range coder (Martin 1979; carries and probabilities as in LZMA): docs/cells.md.

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace tessera {

/// How likely a 0 is, of 2048, as learnt from what was coded in this context so far. Never 0 or 2048.
struct bit_context {
  uint32_t zero = 1024;
  void learn(uint32_t bit) { zero = bit != 0 ? zero - (zero >> 4) : zero + ((2048 - zero) >> 4); }
};

inline constexpr uint32_t least_range = 1u << 24;

/// Writes a code. Threads: one.
class range_encoder {
public:
  /// Appends to bytes that are there already.
  explicit range_encoder(std::vector<std::byte> to) : bytes_(std::move(to)), begin_(bytes_.size()) {}

  void put(bit_context& context, uint32_t bit) {
    const auto bound = (range_ >> 11) * context.zero;
    low_ += bit != 0 ? bound : 0; // without a branch: bits cannot be guessed
    range_ = bit != 0 ? range_ - bound : bound;
    context.learn(bit);
    if (range_ < least_range) // by less than 8 bits
      shift();
  }

  /// Puts the lowest `count` bits of a value (1 to 16), each as likely as not.
  void put_plain(uint32_t value, uint32_t count) {
    range_ >>= count;
    low_ += uint64_t{range_} * value;
    while (range_ < least_range)
      shift();
  }

  /// Returns all bytes, and ends the code with as few as tell it from every other.
  std::vector<std::byte> finish() {
    // Of the numbers from low up to low + range, the one with most zeros at its end: zeros are not written, but read.
    const auto last = low_ + range_ - 1;
    for (int zeros = 32; zeros >= 0; zeros -= 8)
      if (const auto rounded = last >> zeros << zeros; rounded >= low_) {
        low_ = rounded;
        for (int left = 32; left > zeros; left -= 8)
          shift();
        if (zeros == 32)
          carry();
        break;
      }
    return std::move(bytes_);
  }

private:
  void carry() {
    if (low_ >> 32 == 0)
      return;
    for (auto i = bytes_.size(); i > begin_;)
      if (bytes_[--i] != std::byte{0xff}) {
        bytes_[i] = static_cast<std::byte>(static_cast<unsigned>(bytes_[i]) + 1);
        break;
      } else {
        bytes_[i] = std::byte{0};
      }
    low_ &= UINT32_MAX;
  }

  void shift() {
    carry();
    bytes_.push_back(static_cast<std::byte>(low_ >> 24));
    low_ = low_ << 8 & UINT32_MAX;
    range_ <<= 8;
  }

  std::vector<std::byte> bytes_;
  size_t begin_;
  uint64_t low_ = 0;
  uint32_t range_ = UINT32_MAX;
};

/// Reads a code from outside. After its end there are four zeros; whoever reads on gets std::invalid_argument.
class range_decoder {
public:
  explicit range_decoder(std::span<const std::byte> from) : from_(from) {
    for (int i = 0; i < 4; ++i)
      code_ = code_ << 8 | next();
    if (code_ == range_) // from here on it is always less
      throw std::invalid_argument("payload: its code begins with 4 bytes of 255");
  }

  uint32_t get(bit_context& context) {
    const auto bound = (range_ >> 11) * context.zero;
    uint32_t bit = 0;
    if (code_ < bound) {
      range_ = bound;
    } else {
      bit = 1;
      code_ -= bound;
      range_ -= bound;
    }
    context.learn(bit);
    if (range_ < least_range)
      shift();
    return bit;
  }

  /// Returns what put_plain was given.
  uint32_t get_plain(uint32_t count) {
    range_ >>= count;
    const auto value = code_ / range_;
    if (value >> count != 0)
      throw std::invalid_argument("payload: its code is none before byte " + std::to_string(at_));
    code_ -= range_ * value;
    while (range_ < least_range)
      shift();
    return value;
  }

  /// Bytes that were not needed.
  [[nodiscard]] size_t left() const { return at_ < from_.size() ? from_.size() - at_ : 0; }

private:
  uint32_t next() {
    const auto at = at_++;
    if (at < from_.size())
      return static_cast<uint32_t>(from_[at]);
    if (at >= from_.size() + 4)
      throw std::invalid_argument("payload: its code of " + std::to_string(from_.size()) + " bytes ends too early");
    return 0;
  }

  void shift() {
    code_ = code_ << 8 | next();
    range_ <<= 8;
  }

  std::span<const std::byte> from_;
  size_t at_ = 0;
  uint32_t range_ = UINT32_MAX, code_ = 0;
};

} // namespace tessera
