#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tessera {

/// Encodes all but letters, digits and - . _ ~ as %XX (RFC 3986, section 2.1).
std::string percent_encoded(std::string_view text);

/// Decodes %XX; nothing if a % is not followed by two hex digits. `+` stays what it is.
std::optional<std::string> percent_decoded(std::string_view text);

} // namespace tessera
