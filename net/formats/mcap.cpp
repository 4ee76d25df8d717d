#include "net/formats/mcap.hpp"

#include "net/base/bad_input.hpp"

#include <array>
#include <bit>
#include <cstring>

namespace tessera::mcap {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

namespace {

/// Reads the fields of a record's content one after another.
class fields {
public:
  fields(std::string_view content, opcode what) : left_(content), what_(what) {}
  template <class T>
  T number(const char* name) {
    T value;
    std::memcpy(&value, take(name, sizeof value).data(), sizeof value);
    return value;
  }
  /// With a length of 32 bits.
  std::string_view text(const char* name) { return take(name, number<uint32_t>(name)); }
  /// With a length of 64 bits.
  std::string_view bytes(const char* name) { return take(name, number<uint64_t>(name)); }
  [[nodiscard]] std::string_view rest() const { return left_; }

private:
  std::string_view take(const char* name, uint64_t size) {
    if (size > left_.size())
      throw bad_input(to_string(what_) + ": " + name + " has " + std::to_string(size) + " bytes, of which "
                      + std::to_string(left_.size()) + " are there");
    const auto out = left_.substr(0, size);
    left_.remove_prefix(size);
    return out;
  }
  std::string_view left_;
  opcode what_;
};

} // namespace

std::string to_string(opcode what) {
  static constexpr std::array<const char*, 16> names{
    "record 0x00", "header",         "footer",         "schema",     "channel",          "message",
    "chunk",       "message index",  "chunk index",    "attachment", "attachment index", "statistics",
    "metadata",    "metadata index", "summary offset", "data end"};
  const auto code = static_cast<uint8_t>(what);
  if (code < names.size())
    return names[code];
  static constexpr char digits[] = "0123456789abcdef";
  return std::string("record 0x") + digits[code >> 4] + digits[code & 15];
}

record_writer::record_writer(std::string& out, opcode what) : out_(out), start_(out.size()) {
  u8(static_cast<uint8_t>(what)).u64(0);
}

record_writer::~record_writer() {
  const uint64_t length = out_.size() - start_ - head_bytes + behind_;
  std::memcpy(out_.data() + start_ + 1, &length, sizeof length);
}

record_writer& record_writer::text(std::string_view value) {
  u32(static_cast<uint32_t>(value.size()));
  out_ += value;
  return *this;
}

schema read_schema(std::string_view content) {
  fields from(content, opcode::schema);
  schema out;
  out.id = from.number<uint16_t>("id");
  out.name = from.text("name");
  out.encoding = from.text("encoding");
  out.data = from.text("data");
  return out;
}

channel read_channel(std::string_view content) {
  fields from(content, opcode::channel);
  channel out;
  out.id = from.number<uint16_t>("id");
  out.schema_id = from.number<uint16_t>("schema_id");
  out.topic = from.text("topic");
  out.message_encoding = from.text("message_encoding");
  return out;
}

message read_message(std::string_view content) {
  fields from(content, opcode::message);
  message out;
  out.channel_id = from.number<uint16_t>("channel_id");
  (void)from.number<uint32_t>("sequence");
  out.log_ns = from.number<uint64_t>("log_time");
  out.publish_ns = from.number<uint64_t>("publish_time");
  out.data = from.rest();
  return out;
}

chunk read_chunk(std::string_view content) {
  fields from(content, opcode::chunk);
  chunk out;
  out.start_ns = from.number<uint64_t>("message_start_time");
  out.end_ns = from.number<uint64_t>("message_end_time");
  out.unpacked_bytes = from.number<uint64_t>("uncompressed_size");
  out.crc = from.number<uint32_t>("uncompressed_crc");
  out.compression = from.text("compression");
  out.records = from.bytes("records");
  return out;
}

footer read_footer(std::string_view content) {
  return {fields(content, opcode::footer).number<uint64_t>("summary_start")};
}

message_counts read_statistics(std::string_view content) {
  fields from(content, opcode::statistics);
  (void)from.number<uint64_t>("message_count");
  (void)from.number<uint16_t>("schema_count");
  for (const auto* name : {"channel_count", "attachment_count", "metadata_count", "chunk_count"})
    (void)from.number<uint32_t>(name);
  (void)from.number<uint64_t>("message_start_time");
  (void)from.number<uint64_t>("message_end_time");
  fields pairs(from.text("channel_message_counts"), opcode::statistics);
  message_counts out;
  while (!pairs.rest().empty()) {
    const auto id = pairs.number<uint16_t>("channel_message_counts");
    out[id] = pairs.number<uint64_t>("channel_message_counts");
  }
  return out;
}

record_head read_head(std::string_view bytes) {
  record_head out;
  out.what = static_cast<opcode>(bytes.front());
  std::memcpy(&out.length, bytes.data() + 1, sizeof out.length);
  return out;
}

record take_record(std::string_view& records) {
  const auto all = records;
  records = {};
  if (all.size() < head_bytes)
    throw bad_input("a record's head has " + std::to_string(all.size()) + " bytes, must have " + std::to_string(head_bytes));
  const auto head = read_head(all);
  const auto behind = all.substr(head_bytes);
  if (head.length > behind.size())
    throw bad_input(to_string(head.what) + " has " + std::to_string(head.length) + " bytes, of which "
                    + std::to_string(behind.size()) + " are there");
  records = behind.substr(head.length);
  return {head.what, behind.substr(0, head.length)};
}

} // namespace tessera::mcap
