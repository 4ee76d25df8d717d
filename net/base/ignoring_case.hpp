#pragma once

#include <string_view>

namespace tessera {

/// Whether two texts are the same but for the case of ASCII letters: schemes, hosts, names of content types and of codings.
bool equal_ignoring_case(std::string_view a, std::string_view b);

/// Whether a content type is the wanted one. What follows a semicolon is about it, and is not looked at.
bool is_content_type(std::string_view given, std::string_view wanted);

} // namespace tessera
