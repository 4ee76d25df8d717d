#pragma once

#include <string>
#include <string_view>

namespace tessera::config {

/// Reads whose pages may show ours in a frame: none; or origins and self, with commas between them. An origin is http:// or
/// https://, a host (`*.` before it stands for any name below it), and a port where it is not the usual one. Returns them as the
/// directive frame-ancestors of a Content-Security-Policy has them. Throws std::invalid_argument, with the part and what it may
/// be.
std::string parse_frame_ancestors(std::string_view text);

} // namespace tessera::config
