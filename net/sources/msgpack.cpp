// The format: https://github.com/msgpack/msgpack/blob/master/spec.md

#include "net/sources/msgpack.hpp"

#include "net/sources/bad_input.hpp"
#include "net/sources/utf8.hpp"

#include <array>
#include <bit>

namespace tessera {

enum class shape : uint8_t { nil, boolean, unsigned_integer, negative_integer, real, string, binary, extension, list, map };

static const char* name_of(shape s) {
  static constexpr std::array<const char*, 10> names{
    "nil", "a boolean", "an integer", "a negative integer", "a float", "a text", "binary", "an extension", "a list", "a map"};
  return names[static_cast<size_t>(s)];
}

/// One head, and what a plain value holds.
struct msgpack_reader::token {
  shape kind = shape::nil;
  uint64_t size = 0;    // string, binary, extension: bytes; list: elements; map: pairs
  uint64_t integer = 0; // two's complement if negative
  double real = 0;
  std::span<const std::byte> payload;
};

std::span<const std::byte> msgpack_reader::take(uint64_t bytes) {
  if (bytes > bytes_.size() - at_)
    throw bad_input("message ends at byte " + std::to_string(bytes_.size()) + ", a value at byte " + std::to_string(at_)
                    + " claims " + std::to_string(bytes) + " more");
  auto taken = bytes_.subspan(at_, bytes);
  at_ += bytes;
  return taken;
}

uint64_t msgpack_reader::big_endian(size_t bytes) {
  uint64_t value = 0;
  for (auto b : take(bytes))
    value = value << 8 | std::to_integer<uint64_t>(b);
  return value;
}

msgpack_reader::token msgpack_reader::next(const std::string& field) {
  if (at_ == bytes_.size())
    throw bad_input("message ends where " + field + " should be");
  auto head = std::to_integer<unsigned>(bytes_[at_++]);
  token t;
  auto integer = [&](uint64_t bits, bool negative) {
    t.kind = negative ? shape::negative_integer : shape::unsigned_integer;
    t.integer = bits;
  };
  auto signed_integer = [&](size_t bytes) {
    uint64_t bits = big_endian(bytes);
    bool negative = bits >> (8 * bytes - 1);
    if (negative && bytes < 8)
      bits |= ~uint64_t{0} << (8 * bytes);
    integer(bits, negative);
  };
  auto sized = [&](shape kind, uint64_t size) {
    t.kind = kind;
    t.size = size;
    if (kind == shape::list || kind == shape::map) {
      // Every element takes a byte at least.
      uint64_t least = kind == shape::map ? 2 * size : size;
      if (least > bytes_.size() - at_)
        throw bad_input(field + " claims " + std::to_string(size) + " elements, but only " + std::to_string(bytes_.size() - at_)
                        + " bytes follow");
    } else {
      t.payload = take(size);
    }
  };
  if (head <= 0x7f)
    integer(head, false);
  else if (head <= 0x8f)
    sized(shape::map, head & 0x0f);
  else if (head <= 0x9f)
    sized(shape::list, head & 0x0f);
  else if (head <= 0xbf)
    sized(shape::string, head & 0x1f);
  else if (head >= 0xe0)
    integer(~uint64_t{0xff} | head, true);
  else
    switch (head) {
    case 0xc0:
      t.kind = shape::nil;
      break;
    case 0xc2:
    case 0xc3:
      t.kind = shape::boolean;
      break;
    case 0xc4:
      sized(shape::binary, big_endian(1));
      break;
    case 0xc5:
      sized(shape::binary, big_endian(2));
      break;
    case 0xc6:
      sized(shape::binary, big_endian(4));
      break;
    case 0xc7:
      sized(shape::extension, big_endian(1) + 1);
      break;
    case 0xc8:
      sized(shape::extension, big_endian(2) + 1);
      break;
    case 0xc9:
      sized(shape::extension, big_endian(4) + 1);
      break;
    case 0xca:
      t.kind = shape::real;
      t.real = static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(big_endian(4))));
      break;
    case 0xcb:
      t.kind = shape::real;
      t.real = std::bit_cast<double>(big_endian(8));
      break;
    case 0xcc:
      integer(big_endian(1), false);
      break;
    case 0xcd:
      integer(big_endian(2), false);
      break;
    case 0xce:
      integer(big_endian(4), false);
      break;
    case 0xcf:
      integer(big_endian(8), false);
      break;
    case 0xd0:
      signed_integer(1);
      break;
    case 0xd1:
      signed_integer(2);
      break;
    case 0xd2:
      signed_integer(4);
      break;
    case 0xd3:
      signed_integer(8);
      break;
    case 0xd4:
      sized(shape::extension, 2);
      break;
    case 0xd5:
      sized(shape::extension, 3);
      break;
    case 0xd6:
      sized(shape::extension, 5);
      break;
    case 0xd7:
      sized(shape::extension, 9);
      break;
    case 0xd8:
      sized(shape::extension, 17);
      break;
    case 0xd9:
      sized(shape::string, big_endian(1));
      break;
    case 0xda:
      sized(shape::string, big_endian(2));
      break;
    case 0xdb:
      sized(shape::string, big_endian(4));
      break;
    case 0xdc:
      sized(shape::list, big_endian(2));
      break;
    case 0xdd:
      sized(shape::list, big_endian(4));
      break;
    case 0xde:
      sized(shape::map, big_endian(2));
      break;
    case 0xdf:
      sized(shape::map, big_endian(4));
      break;
    default:
      throw bad_input(field + ": byte " + std::to_string(at_ - 1) + " is no MessagePack (" + std::to_string(head) + ")");
    }
  return t;
}

static void expect(const std::string& field, shape found, shape wanted) {
  if (found != wanted)
    throw bad_input(field + " is " + name_of(found) + ", must be " + name_of(wanted));
}

uint32_t msgpack_reader::map_size(const std::string& field) {
  auto t = next(field);
  expect(field, t.kind, shape::map);
  return static_cast<uint32_t>(t.size);
}

uint32_t msgpack_reader::list_size(const std::string& field) {
  auto t = next(field);
  expect(field, t.kind, shape::list);
  return static_cast<uint32_t>(t.size);
}

std::string_view msgpack_reader::text_in(const token& t, const std::string& field) {
  expect(field, t.kind, shape::string);
  std::string_view text{reinterpret_cast<const char*>(t.payload.data()), t.payload.size()};
  if (!is_utf8(text))
    throw bad_input(field + " is not valid UTF-8");
  return text;
}

std::string_view msgpack_reader::string(const std::string& field) {
  return text_in(next(field), field);
}

std::string msgpack_reader::string_or_integer(const std::string& field) {
  auto t = next(field);
  if (t.kind == shape::unsigned_integer)
    return std::to_string(t.integer);
  if (t.kind == shape::negative_integer)
    return std::to_string(static_cast<int64_t>(t.integer));
  return std::string(text_in(t, field));
}

uint64_t msgpack_reader::unsigned_integer(const std::string& field) {
  auto t = next(field);
  if (t.kind == shape::negative_integer)
    throw bad_input(field + " is " + std::to_string(static_cast<int64_t>(t.integer)) + ", must not be negative");
  expect(field, t.kind, shape::unsigned_integer);
  return t.integer;
}

double msgpack_reader::number(const std::string& field) {
  auto t = next(field);
  switch (t.kind) {
  case shape::real:
    return t.real;
  case shape::unsigned_integer:
    return static_cast<double>(t.integer);
  case shape::negative_integer:
    return static_cast<double>(static_cast<int64_t>(t.integer));
  default:
    throw bad_input(field + " is " + name_of(t.kind) + ", must be a number");
  }
}

void msgpack_reader::skip() {
  // What is still to come on each level that is open.
  std::array<uint64_t, max_depth> open{};
  size_t depth = 0;
  for (;;) {
    auto t = next("a value");
    uint64_t inside = t.kind == shape::map ? 2 * t.size : t.kind == shape::list ? t.size : 0;
    if (inside > 0) {
      if (depth == max_depth)
        throw bad_input("message is nested deeper than " + std::to_string(max_depth) + " levels");
      open[depth++] = inside;
      continue;
    }
    while (depth > 0 && --open[depth - 1] == 0)
      --depth;
    if (depth == 0)
      return;
  }
}

bool msgpack_reader::skip_nil() {
  if (at_ == bytes_.size() || bytes_[at_] != std::byte{0xc0})
    return false;
  ++at_;
  return true;
}

bool msgpack_reader::at_list() const {
  if (at_ == bytes_.size())
    return false;
  auto head = std::to_integer<unsigned>(bytes_[at_]);
  return (head & 0xf0) == 0x90 || head == 0xdc || head == 0xdd;
}

void msgpack_reader::expect_end() const {
  if (at_ != bytes_.size())
    throw bad_input(std::to_string(bytes_.size() - at_) + " bytes follow the message");
}

} // namespace tessera
