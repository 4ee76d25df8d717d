#pragma once

#include "messages/names.hpp" // is_utf8()

#include <string>
#include <string_view>

namespace tessera {

/// Returns outside text fit for a log line or a message: at most `most` bytes, all but printable ASCII shown
/// as ?.
std::string printable(std::string_view text, size_t most = 80);

} // namespace tessera
