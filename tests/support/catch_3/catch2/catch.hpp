#pragma once
// Catch2's version 3 under the names of version 2, which our tests are written in: Debian 12 has version 2, Debian 13 and
// Ubuntu 24.04 have version 3.

#include <catch2/catch_all.hpp>

#include <string>

namespace Catch {

using Matchers::EndsWith;
using Matchers::StartsWith;

inline Matchers::StringContainsMatcher Contains(const std::string& part, CaseSensitive how = CaseSensitive::Yes) {
  return Matchers::ContainsSubstring(part, how);
}

} // namespace Catch

using Catch::Approx;
