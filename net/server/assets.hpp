#pragma once
// The files of the web pages, built into the program: no path from outside ever reaches the disk.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace tessera {

/// One file.
struct asset {
  std::span<const std::byte> plain;
  std::span<const std::byte> gzip; ///< empty if not worth it
  std::string_view content_type;
  std::string etag; ///< with its quotes
  /// Its name changes with its content, so that it may be kept for ever.
  bool immutable = false;
};

/// Returns the file at a path ("/" and "/console" too), or null.
const asset* find_asset(std::string_view path);

/// Tells whether the pages were there when the program was built.
bool has_viewer();

} // namespace tessera
