#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace tessera {

/// A temporary file of equal pages that has no name: it is gone when it is closed, even after a crash. Freed pages are used
/// again, lowest first; meanwhile their space is the file system's: at the end the file shrinks, and in the middle it has holes,
/// where the file system can have them. So it never holds more than the pages in use need.
///
/// Errors: std::system_error. Threads: one at a time. Tests derive from it, to be a slow or broken disk.
class page_file {
public:
  static constexpr size_t page_bytes = 16 * 1024;

  /// Opens an unnamed file in `folder`; empty: the system's folder for temporary files.
  explicit page_file(const std::string& folder);
  virtual ~page_file();
  page_file(const page_file&) = delete;
  page_file& operator=(const page_file&) = delete;

  /// Writes the bytes to free pages and returns these, in order. When it throws, no page was taken, and no space.
  virtual std::vector<uint32_t> write(std::span<const std::byte> bytes);

  /// Reads the first bytes.size() bytes of what was written to these pages.
  virtual void read(std::span<const uint32_t> pages, std::span<std::byte> bytes) const;

  /// Gives pages back.
  virtual void free(std::span<const uint32_t> pages);

  /// Space that the file holds: that of the pages in use, and of all up to its end on a file system without holes.
  [[nodiscard]] uint64_t bytes() const { return (end_ - (makes_holes_ ? free_.size() : 0)) * page_bytes; }

private:
  /// Gives the space of these pages back. The pages at the file's end are cut off, those before it become holes.
  void release(std::span<const uint32_t> pages);

  int fd_ = -1;
  bool makes_holes_ = true;
  uint32_t end_ = 0; ///< pages in the file
  std::set<uint32_t> free_;
};

} // namespace tessera
