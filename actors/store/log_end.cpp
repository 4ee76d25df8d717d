#include "actors/store/log_end.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <system_error>
#include <vector>

namespace tessera {

namespace fs = std::filesystem;

namespace {

/// RocksDB's log format (db/log_format.h): blocks, and in them records, which are a masked checksum of all that comes after it, a
/// length of two bytes, a type, and as many bytes.
constexpr size_t block_bytes = 32768, header_bytes = 7, length_at = 4, type_at = 6;
constexpr uint8_t first_type = 1, last_type = 4; // whole; a first, middle or last part

using bytes = std::span<const uint8_t>;

/// The polynomial of Castagnoli.
uint32_t crc32c(bytes of) {
  static const auto table = [] {
    std::array<uint32_t, 256> out{};
    for (uint32_t i = 0; i < out.size(); ++i) {
      out[i] = i;
      for (int bit = 0; bit < 8; ++bit)
        out[i] = (out[i] >> 1) ^ ((out[i] & 1) != 0 ? 0x82f63b78U : 0);
    }
    return out;
  }();
  uint32_t crc = ~uint32_t{0};
  for (const auto byte : of)
    crc = table[(crc ^ byte) & 0xff] ^ (crc >> 8);
  return ~crc;
}

uint32_t checksum_of(bytes record) {
  return uint32_t{record[0]} | uint32_t{record[1]} << 8 | uint32_t{record[2]} << 16 | uint32_t{record[3]} << 24;
}

size_t length_of(bytes record) {
  return size_t{record[length_at]} | size_t{record[length_at + 1]} << 8;
}

/// Whether bytes begin with a record of such a length.
bool is_record(bytes at, size_t length) {
  if (header_bytes + length > at.size() || at[type_at] < first_type || at[type_at] > last_type)
    return false;
  return checksum_of(at) == std::rotr(crc32c(at.subspan(type_at, 1 + length)), 15) + 0xa282ead8U;
}

bool is_damaged(bytes block) {
  while (block.size() >= header_bytes && header_bytes + length_of(block) <= block.size())
    block = block.subspan(header_bytes + length_of(block));
  if (block.size() < header_bytes)
    return false;
  if (is_record(block, block.size() - header_bytes))
    return true;
  for (block = block.subspan(1); block.size() >= header_bytes; block = block.subspan(1))
    if (is_record(block, length_of(block)))
      return true;
  return false;
}

/// Nothing of a log that is gone: another process has the folder, and will be told of.
std::vector<uint8_t> last_block_of(const fs::path& log) {
  errno = 0;
  std::ifstream in{log, std::ios::binary};
  const auto opened = in.is_open() ? 0 : errno;
  std::error_code code;
  const auto size = fs::file_size(log, code);
  if (code == std::errc::no_such_file_or_directory)
    return {};
  if (!code && opened != 0)
    code = {opened, std::generic_category()};
  if (code)
    throw std::system_error(code, "the log " + log.string() + " cannot be read");
  std::vector<uint8_t> out(size % block_bytes);
  in.seekg(static_cast<std::streamoff>(size - out.size()));
  if (!in.read(reinterpret_cast<char*>(out.data()), static_cast<std::streamsize>(out.size())))
    throw std::system_error(EIO, std::generic_category(), "the log " + log.string() + " cannot be read");
  return out;
}

} // namespace

std::optional<std::string> log_with_damaged_end(const std::string& folder) {
  std::vector<fs::path> logs;
  for (const auto& one : fs::directory_iterator{folder})
    if (one.path().extension() == ".log")
      logs.push_back(one.path());
  std::sort(logs.begin(), logs.end());
  for (const auto& log : logs)
    if (is_damaged(last_block_of(log)))
      return log.string();
  return {};
}

} // namespace tessera
