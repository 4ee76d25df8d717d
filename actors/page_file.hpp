#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace tessera {

/// A temporary file of equal pages that has no name: it is gone when it is closed, even after a crash. Freed pages are used
/// again, lowest first, and the file shrinks when its end is free, so it stays as small as the pages in use allow.
///
/// Errors: std::system_error. Threads: one at a time.
class page_file {
public:
  static constexpr size_t page_bytes = 16 * 1024;

  /// Opens an unnamed file in `folder`; empty: the system's folder for temporary files.
  explicit page_file(const std::string& folder);
  ~page_file();
  page_file(const page_file&) = delete;
  page_file& operator=(const page_file&) = delete;

  /// Writes the bytes to free pages and returns these, in order. When it throws, no page was taken.
  std::vector<uint32_t> write(std::span<const std::byte> bytes);

  /// Reads the first bytes.size() bytes of what was written to these pages.
  void read(std::span<const uint32_t> pages, std::span<std::byte> bytes) const;

  /// Gives pages back.
  void free(std::span<const uint32_t> pages);

  /// Size of the file.
  [[nodiscard]] uint64_t bytes() const { return uint64_t{end_} * page_bytes; }

private:
  int fd_ = -1;
  uint32_t end_ = 0; ///< pages in the file
  std::set<uint32_t> free_;
};

} // namespace tessera
