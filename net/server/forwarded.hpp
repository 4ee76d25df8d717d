#pragma once
// What proxies say of those for whom they ask.

#include "net/server/client_address.hpp"
#include "net/server/http_rules.hpp"

#include <string_view>
#include <variant>

namespace tessera {

/// For whom a proxy asks. The texts are the header's.
struct forwarded {
  boost::asio::ip::address client;
  std::string_view scheme; ///< by which the client asked: http or https; empty: it was not said
  std::string_view host;   ///< HOST or HOST:PORT that it asked; empty: it was not said
};

/// Reads X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host of a request that came from `peer`, one of `trusted`.
///
/// Each proxy adds at the end, and what stands before that it may have been told by anybody. So the client is the last address of
/// X-Forwarded-For that is not itself trusted, the first if all are, and `peer` if there is none; what stands further to the left
/// is not looked at. Of the other two the last value counts. One that cannot be is a fault: 400.
std::variant<forwarded, header_fault> read_forwarded(const http::request_header<>& header, const boost::asio::ip::address& peer,
                                                     const trusted_proxies& trusted);

/// Whether a proxy, trusted or not, says that it passes the request on for somebody. The plainest ones do not say it.
bool is_forwarded(const http::request_header<>& header);

/// Whether it says for whom, in the way that read_forwarded() reads.
bool says_client(const http::request_header<>& header);

} // namespace tessera
