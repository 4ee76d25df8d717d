#include "net/server/access.hpp"

#include "net/server/http_rules.hpp"
#include "net/server/route_table.hpp"

#include <boost/asio/ip/address.hpp>
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <array>
#include <stdexcept>

namespace tessera {

namespace {

std::optional<std::string_view> bearer(std::string_view authorization) {
  constexpr std::string_view scheme = "bearer ";
  if (authorization.size() < scheme.size() || !equal_ignoring_case(authorization.substr(0, scheme.size()), scheme))
    return std::nullopt;
  authorization.remove_prefix(scheme.size());
  while (authorization.starts_with(' '))
    authorization.remove_prefix(1);
  return authorization;
}

std::string_view without_default_port(std::string_view authority, std::string_view scheme) {
  const std::string_view port = scheme == "https" ? ":443" : ":80";
  return authority.substr(0, authority.size() - (authority.ends_with(port) ? port.size() : 0));
}

/// Tells whether an Origin names the host and, if it is known, the scheme that was asked.
bool is_own_origin(std::string_view origin, std::string_view scheme, std::string_view host) {
  const auto end = origin.find("://");
  if (end == origin.npos)
    return false;
  const auto named = origin.substr(end + 3);
  if (scheme.empty())
    return equal_ignoring_case(named, host);
  return equal_ignoring_case(origin.substr(0, end), scheme)
         && equal_ignoring_case(without_default_port(named, scheme), without_default_port(host, scheme));
}

bool is_open(const http_target& target) {
  const auto* row = find_route(target.what);
  return row == nullptr || row->open;
}

// Without a token, only this machine may ask: then a name that is not this machine's was pointed here by
// somebody else (DNS rebinding).
bool is_own_name(std::string_view authority) {
  auto host = host_of(authority);
  return host && is_loopback(*host);
}

} // namespace

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  // Digests are of equal length, whatever the texts' are.
  std::array<unsigned char, SHA256_DIGEST_LENGTH> x{}, y{};
  SHA256(reinterpret_cast<const unsigned char*>(a.data()), a.size(), x.data());
  SHA256(reinterpret_cast<const unsigned char*>(b.data()), b.size(), y.data());
  return CRYPTO_memcmp(x.data(), y.data(), x.size()) == 0;
}

access decide(const access_rules& rules, const access_request& request) {
  if (is_open(request.target))
    return access::granted;
  if (!rules.token.empty()) {
    auto given = bearer(request.authorization);
    if (!given && request.target.token)
      given = *request.target.token;
    if (!given)
      return access::token_missing;
    return equal_in_constant_time(*given, rules.token) ? access::granted : access::token_wrong;
  }
  if (rules.insecure)
    return access::granted;
  if (request.forwarded || !is_own_name(request.host))
    return access::foreign_origin;
  // Browsers name the origin of every WebSocket and of every request that changes something; other programs
  // send none.
  if (!request.origin.empty() && !is_own_origin(request.origin, request.scheme, request.host))
    return access::foreign_origin;
  if (!request.safe_method && (request.fetch_site == "cross-site" || request.fetch_site == "same-site"))
    return access::foreign_origin;
  return access::granted;
}

bool open_to_pages_of_other_sites(const access_rules& rules) {
  return !rules.token.empty() || rules.insecure;
}

bool is_loopback(std::string_view address) {
  if (equal_ignoring_case(address, "localhost"))
    return true;
  boost::system::error_code failed;
  auto parsed = boost::asio::ip::make_address(std::string(address), failed);
  return !failed && parsed.is_loopback();
}

boost::asio::ip::address address_of(std::string_view bind) {
  error_code failed;
  auto address = asio::ip::make_address(equal_ignoring_case(bind, "localhost") ? "127.0.0.1" : std::string(bind), failed);
  if (failed)
    throw std::invalid_argument("bind is '" + std::string(bind)
                                + "', which is no address: give localhost, or a number such as 127.0.0.1, ::1, 0.0.0.0 or ::");
  return address;
}

void check_exposure(const access_rules& rules, std::string_view bind) {
  address_of(bind);
  if (!rules.token.empty() || rules.insecure || is_loopback(bind))
    return;
  throw std::invalid_argument("bind is " + std::string(bind)
                              + ", which others can reach: give --token a secret of your choice, or say "
                                "--insecure if everyone on that "
                                "network may see and change the map");
}

} // namespace tessera
