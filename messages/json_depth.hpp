#pragma once

#include <string_view>

namespace tessera {

/// Tells whether brackets nest deeper than `limit`, without parsing: what is inside strings does not count. For text from
/// outside, before a parser sees it that recurses, or a tree is built of it.
bool nests_deeper(std::string_view json, int limit);

} // namespace tessera
