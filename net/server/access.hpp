#pragma once
// Who may ask. Pure functions.

#include "net/server/http_target.hpp"

#include <boost/asio/ip/address.hpp>

#include <optional>
#include <string>
#include <string_view>

namespace tessera {

/// What the access rules look at.
struct access_request {
  http_target target;
  std::string_view authorization; ///< the header, or empty
  std::string_view origin;        ///< the header, or empty
  std::string_view host;          ///< that the client asked for, or empty: then it is nobody's name
  std::string_view scheme;        ///< by which it did: http or https; empty: nobody knows
  std::string_view fetch_site;    ///< Sec-Fetch-Site, or empty
  bool safe_method = true;        ///< GET or HEAD of something other than the stream
  bool forwarded = false;         ///< a proxy passes it on for somebody who is not known to be on this machine
};

struct access_rules {
  std::string token; ///< empty: none is asked for
  bool insecure = false;
};

enum class access : uint8_t { granted, token_missing, token_wrong, foreign_origin };

/// Decides. With a token set, everything but health checks and the pages' files needs it. Without one (and
/// unless `insecure`), what another web site's page sends through a browser is refused: a browser would carry
/// it past the firewall.
access decide(const access_rules& rules, const access_request& request);

/// Tells whether who asks may do so from any site's page: he shows the token, or nobody is asked for anything. A browser lets a
/// page open a WebSocket wherever it likes; an answer it reads only if that says so.
bool open_to_pages_of_other_sites(const access_rules& rules);

/// Compares without telling by its time where the texts differ.
bool equal_in_constant_time(std::string_view a, std::string_view b);

/// Tells whether an address, or the name localhost, is reached from this machine alone.
bool is_loopback(std::string_view address);

/// Returns the address of the setting `bind`: a number, or localhost. Throws std::invalid_argument that says what it may be.
boost::asio::ip::address address_of(std::string_view bind);

/// Throws std::invalid_argument that says what to do if `bind` is no address, or if others could reach the service without a
/// token.
void check_exposure(const access_rules& rules, std::string_view bind);

} // namespace tessera
