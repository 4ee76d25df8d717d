#include "net/formats/mcap_chunk.hpp"

#include "net/base/bad_input.hpp"
#include "net/base/utf8.hpp"

#include <lz4frame.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include <memory>
#include <new>
#include <stdexcept>

namespace tessera::mcap {

namespace {

/// The one check of what liblz4's functions return. Want of memory is no fault of the records: std::bad_alloc.
size_t checked_lz4(size_t result) {
  if (LZ4F_isError(result) && LZ4F_getErrorName(result) == std::string_view{"ERROR_allocation_failed"})
    throw std::bad_alloc(); // its number is in no header that is shared
  if (LZ4F_isError(result))
    throw bad_input(std::string("chunk: records are no LZ4 frame: ") + LZ4F_getErrorName(result));
  return result;
}

/// The one check of what libzstd's functions return, likewise.
size_t checked_zstd(size_t result) {
  if (ZSTD_isError(result) && ZSTD_getErrorCode(result) == ZSTD_error_memory_allocation)
    throw std::bad_alloc();
  if (ZSTD_isError(result))
    throw bad_input(std::string("chunk: records are no Zstandard frame: ") + ZSTD_getErrorName(result));
  return result;
}

/// Answers how many bytes came.
size_t unpack_lz4(std::string_view from, std::string& to) {
  LZ4F_dctx* made = nullptr;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&made, LZ4F_VERSION)))
    throw std::bad_alloc();
  const std::unique_ptr<LZ4F_dctx, decltype(&LZ4F_freeDecompressionContext)> context(made, LZ4F_freeDecompressionContext);
  size_t came = 0;
  for (;;) {
    size_t room = to.size() - came, read = from.size();
    const auto wanted = checked_lz4(LZ4F_decompress(made, to.data() + came, &room, from.data(), &read, nullptr));
    came += room;
    from.remove_prefix(read);
    if (wanted == 0 && from.empty())
      return came;
    if (room == 0 && read == 0)
      throw bad_input("chunk: records are no whole LZ4 frame of " + std::to_string(to.size())
                      + " bytes, which uncompressed_size says");
  }
}

} // namespace

std::string_view to_string(packing how) {
  return how == packing::lz4 ? "lz4" : how == packing::zstd ? "zstd" : "";
}

uint32_t crc_of(std::string_view bytes) {
  return static_cast<uint32_t>(::crc32_z(0, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

std::string pack(std::string_view records, packing how) {
  std::string out(how == packing::lz4 ? LZ4F_compressFrameBound(records.size(), nullptr) : ZSTD_compressBound(records.size()),
                  '\0');
  out.resize(how == packing::lz4
               ? checked_lz4(LZ4F_compressFrame(out.data(), out.size(), records.data(), records.size(), nullptr))
               : checked_zstd(ZSTD_compress(out.data(), out.size(), records.data(), records.size(), 1)));
  return out;
}

std::string unpack(const chunk& from) {
  if (from.unpacked_bytes > most_bytes)
    throw bad_input("chunk: uncompressed_size is " + std::to_string(from.unpacked_bytes) + ", must be at most "
                    + std::to_string(most_bytes));
  std::string out;
  size_t came = 0;
  if (from.compression.empty()) {
    out = from.records;
    came = out.size();
  } else if (from.compression == "lz4") {
    out.resize(from.unpacked_bytes);
    came = unpack_lz4(from.records, out);
  } else if (from.compression == "zstd") {
    out.resize(from.unpacked_bytes);
    came = checked_zstd(ZSTD_decompress(out.data(), out.size(), from.records.data(), from.records.size()));
  } else {
    throw bad_input("chunk: compression is '" + printable(from.compression) + "', which is not lz4, zstd or empty");
  }
  if (came != from.unpacked_bytes)
    throw bad_input("chunk: records have " + std::to_string(came) + " bytes, but uncompressed_size is "
                    + std::to_string(from.unpacked_bytes));
  if (from.crc != 0)
    if (const auto crc = crc_of(out); crc != from.crc)
      throw bad_input("chunk: the checksum of records is " + std::to_string(crc) + ", but uncompressed_crc is "
                      + std::to_string(from.crc));
  return out;
}

} // namespace tessera::mcap
