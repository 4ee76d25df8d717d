#include "net/server/forwarded.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

namespace tessera {

namespace {

constexpr auto for_header = "X-Forwarded-For", scheme_header = "X-Forwarded-Proto", host_header = "X-Forwarded-Host";

/// The values of a header that is a list, from the last to the first.
class values_from_last {
public:
  values_from_last(const http::request_header<>& header, const char* name) {
    const auto [first, last] = header.equal_range(name);
    for (auto line = first; line != last; ++line)
      lines_.emplace_back(line->value().data(), line->value().size());
  }

  /// Nothing after the first. Empty ones are passed over.
  std::optional<std::string_view> next() {
    while (!lines_.empty()) {
      auto& line = lines_.back();
      const auto comma = line.rfind(',');
      const auto value = trimmed(comma == line.npos ? line : line.substr(comma + 1));
      if (comma == line.npos)
        lines_.pop_back();
      else
        line = line.substr(0, comma);
      if (!value.empty())
        return value;
    }
    return std::nullopt;
  }

private:
  std::vector<std::string_view> lines_;
};

/// The address of ADDRESS, ADDRESS:PORT, [ADDRESS] or [ADDRESS]:PORT, those of IPv6 with a port in brackets.
std::optional<asio::ip::address> address_in(std::string_view text) {
  error_code failed;
  const auto whole = asio::ip::make_address(std::string(text), failed);
  if (!failed)
    return whole;
  const auto host = host_of(text);
  if (!host)
    return std::nullopt;
  const auto named = asio::ip::make_address(std::string(*host), failed);
  return failed ? std::nullopt : std::optional{named};
}

/// What else tells of a proxy.
constexpr std::array of_proxies{"Forwarded", "Via", scheme_header, host_header, "X-Real-IP"};

header_fault fault(const char* name, std::string_view value, const char* expected) {
  return {http::status::bad_request, "it is " + quoted(value) + ", expected " + expected, name};
}

} // namespace

std::variant<forwarded, header_fault> read_forwarded(const http::request_header<>& header, const asio::ip::address& peer,
                                                     const trusted_proxies& trusted) {
  forwarded out{peer, {}, {}};
  values_from_last clients{header, for_header};
  while (trusted.contain(out.client)) {
    const auto value = clients.next();
    if (!value)
      break;
    const auto address = address_in(*value);
    if (!address)
      return fault(for_header, *value, "addresses of IPv4 or IPv6 with commas");
    out.client = *address;
  }
  if (const auto scheme = values_from_last{header, scheme_header}.next()) {
    for (const std::string_view known : {"http", "https"})
      if (equal_ignoring_case(*scheme, known))
        out.scheme = known;
    if (out.scheme.empty())
      return fault(scheme_header, *scheme, "http or https");
  }
  if (const auto host = values_from_last{header, host_header}.next()) {
    if (!host_of(*host))
      return fault(host_header, *host, "HOST or HOST:PORT");
    out.host = *host;
  }
  return out;
}

bool is_forwarded(const http::request_header<>& header) {
  return says_client(header)
         || std::any_of(of_proxies.begin(), of_proxies.end(), [&](const char* name) { return header.count(name) > 0; });
}

bool says_client(const http::request_header<>& header) {
  return header.count(for_header) > 0;
}

} // namespace tessera
