#pragma once

#include <string>
#include <string_view>

namespace tessera {

/// Encodes all but letters, digits and - . _ ~ as %XX (RFC 3986, section 2.1).
std::string percent_encoded(std::string_view text);

} // namespace tessera
