#pragma once
// The records of MCAP files (mcap.dev/spec, version 0): written, and read from outside. Numbers are little-endian.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace tessera::mcap {

/// What a file begins and ends with.
inline constexpr std::string_view magic{"\x89MCAP0\r\n", 8};
/// Of a record: its opcode, and the length of its content.
inline constexpr uint64_t head_bytes = 9;
/// Most bytes of a record that is read, and of a chunk's records, compressed or not: three times what a keyframe of as many
/// points as a service takes has (2^22, 20 bytes each).
inline constexpr uint64_t most_bytes = uint64_t{256} << 20;

enum class opcode : uint8_t {
  header = 0x01,
  footer = 0x02,
  schema = 0x03,
  channel = 0x04,
  message = 0x05,
  chunk = 0x06,
  message_index = 0x07,
  chunk_index = 0x08,
  statistics = 0x0b,
  summary_offset = 0x0e,
  data_end = 0x0f,
};
/// For people: "chunk", or "record 0x80".
std::string to_string(opcode what);

/// Appends one record: its head, then the fields in the order of the calls. The length is set when it goes out of scope.
class record_writer {
public:
  record_writer(std::string& out, opcode what);
  ~record_writer();
  record_writer(const record_writer&) = delete;
  record_writer& operator=(const record_writer&) = delete;
  record_writer& u8(uint8_t value) { return plain(value); }
  record_writer& u16(uint16_t value) { return plain(value); }
  record_writer& u32(uint32_t value) { return plain(value); }
  record_writer& u64(uint64_t value) { return plain(value); }
  /// String, or bytes with a length of 32 bits.
  record_writer& text(std::string_view value);
  /// Makes the record longer by bytes that somebody else will write behind it.
  void and_bytes(uint64_t count) { behind_ = count; }

private:
  template <class T>
  record_writer& plain(T value) {
    out_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  std::string& out_;
  const size_t start_;
  uint64_t behind_ = 0;
};

/// Defines a kind of message. `data` of those that are read lies in the record.
struct schema {
  uint16_t id = 0;
  std::string_view name, encoding, data;
};

/// Defines a stream of messages.
struct channel {
  uint16_t id = 0, schema_id = 0;
  std::string_view topic, message_encoding;
};

struct message {
  uint16_t channel_id = 0;
  uint64_t log_ns = 0, publish_ns = 0;
  std::string_view data;
};

struct chunk {
  uint64_t start_ns = 0, end_ns = 0, unpacked_bytes = 0;
  uint32_t crc = 0;
  std::string_view compression, records;
};

struct footer {
  uint64_t summary_start = 0;
};

/// How many messages each channel has.
using message_counts = std::map<uint16_t, uint64_t>;

/// Read a record's content, which must outlive what they return. Each throws bad_input that names the record, the field, the
/// value and the bound. What stands behind the known fields is left alone, as the specification wants it.
schema read_schema(std::string_view content);
channel read_channel(std::string_view content);
message read_message(std::string_view content);
chunk read_chunk(std::string_view content);
footer read_footer(std::string_view content);
/// Empty if the record does not tell.
message_counts read_statistics(std::string_view content);

/// One of the records that stand in a row.
struct record {
  opcode what{};
  std::string_view content;
};

/// Takes the first of the records that stand in a row, as in a chunk, away from them. Throws bad_input if it is not whole, and
/// leaves nothing then.
record take_record(std::string_view& records);

/// The record's head, which `bytes` (head_bytes of them) are.
struct record_head {
  opcode what{};
  uint64_t length = 0;
};
record_head read_head(std::string_view bytes);

} // namespace tessera::mcap
