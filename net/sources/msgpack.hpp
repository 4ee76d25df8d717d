#pragma once
// A strict reader of MessagePack that trusts nothing: it allocates nothing, never recurses, and believes no
// length that the bytes left cannot hold.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace tessera {

/// Reads one value after another from a buffer; every function throws bad_input if the next value is not what
/// was asked for, and names what it found. Texts point into the buffer.
class msgpack_reader {
public:
  explicit msgpack_reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  /// Begins a map or a list and returns its number of pairs or elements, which are read next.
  uint32_t map_size(const std::string& field);
  uint32_t list_size(const std::string& field);
  std::string_view string(const std::string& field);
  /// A text; or an integer, as its decimal digits.
  std::string string_or_integer(const std::string& field);
  uint64_t unsigned_integer(const std::string& field);
  /// An integer or a float of either size.
  double number(const std::string& field);
  /// Passes over one value of any kind, however deep it claims to be: more than `max_depth` is bad input.
  void skip();
  /// Passes over nil and returns true; does nothing else otherwise.
  bool skip_nil();
  /// Whether the next value is a list.
  [[nodiscard]] bool at_list() const;
  /// Throws bad_input if anything follows.
  void expect_end() const;

  static constexpr size_t max_depth = 32;

private:
  struct token;
  token next(const std::string& field);
  static std::string_view text_in(const token& t, const std::string& field);
  uint64_t big_endian(size_t bytes);
  std::span<const std::byte> take(uint64_t bytes);

  std::span<const std::byte> bytes_;
  size_t at_ = 0;
};

} // namespace tessera
