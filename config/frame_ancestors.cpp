#include "config/frame_ancestors.hpp"

#include "config/value.hpp"
#include "messages/comma_list.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <stdexcept>

namespace tessera::config {

namespace {

[[noreturn]] void refuse(std::string_view part, const std::string& why) {
  throw std::invalid_argument(in_quotes(part) + ' ' + why);
}

bool is_letter_or_digit(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

// Names and IPv4 addresses: what a policy knows of hosts.
bool is_host(std::string_view host) {
  if (host.starts_with("*."))
    host.remove_prefix(2);
  const auto plain = [](char c) { return is_letter_or_digit(c) || c == '-' || c == '.'; };
  return !host.empty() && is_letter_or_digit(host.front()) && is_letter_or_digit(host.back())
         && std::all_of(host.begin(), host.end(), plain) && host.find("..") == host.npos;
}

bool is_port(std::string_view port) {
  unsigned value = 0;
  const auto [end, failed] = std::from_chars(port.data(), port.data() + port.size(), value);
  return failed == std::errc{} && end == port.data() + port.size() && value >= 1 && value <= 65535;
}

// What comes here ends up in a header: nothing passes that is not known to be harmless there.
void check_origin(std::string_view origin) {
  const auto scheme = origin.find("://");
  const auto name = origin.substr(0, scheme);
  if (scheme == origin.npos || (name != "http" && name != "https"))
    refuse(origin, "does not begin with http:// or https://");
  auto host = origin.substr(scheme + 3);
  if (const auto path = host.find_first_of("/?#"); path != host.npos)
    refuse(origin, "goes on after its host: an origin has no path, nor a slash at its end");
  if (const auto colon = host.rfind(':'); colon != host.npos) {
    if (!is_port(host.substr(colon + 1)))
      refuse(origin, "has a port that is not 1 to 65535");
    host = host.substr(0, colon);
  }
  if (!is_host(host))
    refuse(origin, "has a host that is no name and no IPv4 address: letters, digits, '-' and '.', perhaps after a first *.");
}

} // namespace

std::string parse_frame_ancestors(std::string_view text) {
  if (without_blanks(text) == "none")
    return "'none'";
  std::string out;
  for (const auto part : comma_list(text)) {
    if (part == "none")
      refuse(part, "stands alone or not at all");
    if (part != "self")
      check_origin(part);
    out += (out.empty() ? "" : " ") + (part == "self" ? std::string{"'self'"} : std::string{part});
  }
  return out;
}

} // namespace tessera::config
