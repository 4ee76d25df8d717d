#include "net/commands/drill.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <sstream>
#include <stdexcept>
#include <string_view>

namespace tessera {

namespace {

constexpr std::array<std::string_view, 7> roles{"ingest", "partitioner", "broadcaster", "placement",
                                                "device", "inspector",   "supervisor"};

} // namespace

drill::drill(const std::string& text) {
  std::istringstream parts{text};
  for (std::string part; std::getline(parts, part, ',');) {
    const auto at = part.find('@');
    entry one{part.substr(0, at), 0};
    if (std::find(roles.begin(), roles.end(), one.role) == roles.end())
      throw std::invalid_argument("drill has \"" + part.substr(0, 100)
                                  + "\", whose role is none of ingest, partitioner, broadcaster, "
                                  + "placement, device, inspector, supervisor");
    const auto* end = part.data() + part.size();
    const auto* begin = at == std::string::npos ? end : part.data() + at + 1;
    const auto [read_to, failed] = std::from_chars(begin, end, one.keyframes);
    if (begin == end || failed != std::errc{} || read_to != end)
      throw std::invalid_argument("drill has \"" + part.substr(0, 100) + "\", not ROLE@KEYFRAMES with a whole number");
    entries_.push_back(std::move(one));
  }
}

std::vector<std::string> drill::due(uint64_t accepted) {
  std::vector<std::string> out;
  std::erase_if(entries_, [&](const entry& one) {
    if (accepted < one.keyframes)
      return false;
    out.push_back(one.role);
    return true;
  });
  return out;
}

} // namespace tessera
