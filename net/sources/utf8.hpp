#pragma once

#include <string>
#include <string_view>

namespace tessera {

/// Tells whether the text is valid UTF-8 (RFC 3629: shortest forms only, no surrogates).
bool is_utf8(std::string_view text);

/// Returns outside text fit for a log line or a message: at most `most` bytes, all but printable ASCII shown
/// as ?.
std::string printable(std::string_view text, size_t most = 80);

} // namespace tessera
