#pragma once
// The wire format of Protocol Buffers (protobuf.dev/programming-guides/encoding), as far as recordings need it.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace tessera::protobuf {

/// How a field's value is written; groups, which nobody writes any more, are none of these.
enum class wire : uint8_t { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

/// Appends fields to a message.
class writer {
public:
  explicit writer(std::string& out) : out_(out) {}
  /// uint32, uint64, int64, bool or an enum.
  void number(uint32_t field, uint64_t value);
  void fixed32(uint32_t field, uint32_t value);
  /// double.
  void real(uint32_t field, double value);
  /// bytes, string, a message or packed numbers.
  void bytes(uint32_t field, std::string_view value);
  /// The same, of which the caller appends the value's bytes by itself.
  void begin_bytes(uint32_t field, uint64_t size);

private:
  void varint(uint64_t value);
  void tag(uint32_t field, wire kind) { varint(uint64_t{field} << 3 | static_cast<uint8_t>(kind)); }
  std::string& out_;
};

/// A field of a message that is read. Its value is asked for by the type that it must have; what has another one is bad input.
class field {
public:
  field(std::string_view message, uint32_t number, wire kind, uint64_t value, std::string_view bytes)
    : message_(message), number_(number), kind_(kind), value_(value), bytes_(bytes) {}
  [[nodiscard]] uint32_t number() const { return number_; }
  /// These throw bad_input.
  [[nodiscard]] uint64_t varint() const { return must_be(wire::varint), value_; }
  [[nodiscard]] uint32_t fixed32() const { return must_be(wire::fixed32), static_cast<uint32_t>(value_); }
  [[nodiscard]] std::string_view bytes() const { return must_be(wire::bytes), bytes_; }

private:
  void must_be(wire kind) const;
  std::string_view message_;
  uint32_t number_;
  wire kind_;
  uint64_t value_;
  std::string_view bytes_;
};

/// Reads a message from outside, field by field; copies nothing.
class reader {
public:
  /// `name`: the message's, for errors. Both must outlive the reader and its fields.
  reader(std::string_view message, std::string_view name) : left_(message), whole_(message.size()), name_(name) {}
  /// The next field, or nothing at the end. Throws bad_input that names the message, the byte and the bound.
  std::optional<field> next();

private:
  uint64_t varint();
  std::string_view take(uint64_t size);
  [[noreturn]] void fail(const std::string& why) const;
  std::string_view left_;
  size_t whole_;
  std::string_view name_;
};

} // namespace tessera::protobuf
