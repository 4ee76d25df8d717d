#include "net/formats/protobuf_wire.hpp"

#include "net/base/bad_input.hpp"

#include <bit>
#include <cstring>

namespace tessera::protobuf {

static_assert(std::endian::native == std::endian::little, "fixed numbers are written as they lie in memory");

namespace {

template <class T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
T number_at(std::string_view bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

} // namespace

void writer::number(uint32_t field, uint64_t value) {
  tag(field, wire::varint);
  varint(value);
}

void writer::fixed32(uint32_t field, uint32_t value) {
  tag(field, wire::fixed32);
  append(out_, value);
}

void writer::real(uint32_t field, double value) {
  tag(field, wire::fixed64);
  append(out_, value);
}

void writer::bytes(uint32_t field, std::string_view value) {
  begin_bytes(field, value.size());
  out_ += value;
}

void writer::begin_bytes(uint32_t field, uint64_t size) {
  tag(field, wire::bytes);
  varint(size);
}

void writer::varint(uint64_t value) {
  for (; value >= 0x80; value >>= 7)
    out_ += static_cast<char>(value | 0x80);
  out_ += static_cast<char>(value);
}

void field::must_be(wire kind) const {
  if (kind_ != kind)
    throw bad_input(std::string(message_) + ": field " + std::to_string(number_) + " has wire type "
                    + std::to_string(static_cast<int>(kind_)) + ", must be " + std::to_string(static_cast<int>(kind)));
}

void reader::fail(const std::string& why) const {
  throw bad_input(std::string(name_) + ": byte " + std::to_string(whole_ - left_.size()) + ": " + why);
}

uint64_t reader::varint() {
  uint64_t value = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (left_.empty())
      fail("the message ends within a number");
    const auto byte = static_cast<uint8_t>(left_.front());
    left_.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80)
      return value;
  }
  fail("a number has more than 10 bytes");
}

std::string_view reader::take(uint64_t size) {
  if (size > left_.size())
    fail("a field has " + std::to_string(size) + " bytes, of which " + std::to_string(left_.size()) + " are there");
  const auto out = left_.substr(0, size);
  left_.remove_prefix(size);
  return out;
}

std::optional<field> reader::next() {
  if (left_.empty())
    return std::nullopt;
  const auto tag = varint();
  const auto number = tag >> 3;
  if (number == 0 || number >= uint64_t{1} << 29)
    fail("a field's number is " + std::to_string(number) + ", must be 1 to 536870911");
  const auto of = static_cast<uint32_t>(number);
  switch (static_cast<wire>(tag & 7)) {
  case wire::varint:
    return field{name_, of, wire::varint, varint(), {}};
  case wire::fixed64:
    return field{name_, of, wire::fixed64, number_at<uint64_t>(take(8)), {}};
  case wire::fixed32:
    return field{name_, of, wire::fixed32, number_at<uint32_t>(take(4)), {}};
  case wire::bytes:
    return field{name_, of, wire::bytes, 0, take(varint())};
  }
  fail("field " + std::to_string(of) + " has wire type " + std::to_string(tag & 7) + ", must be 0, 1, 2 or 5");
}

} // namespace tessera::protobuf
