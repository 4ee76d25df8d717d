#pragma once
// Whose a connection is: addresses of clients, and of proxies that are believed.

#include <boost/asio/ip/address.hpp>

#include <array>
#include <string_view>
#include <vector>

namespace tessera {

/// Whom an address belongs to: who can have one address of IPv6 mostly has the other 2^64 of its network, too; and an address of
/// IPv4 is the same in either form.
boost::asio::ip::address client_of(const boost::asio::ip::address& from);

/// The proxies that are believed when they say for whom they ask: the setting trusted-proxy. By default there are none.
class trusted_proxies {
public:
  trusted_proxies() = default;
  /// Reads addresses and networks (ADDRESS/PREFIX) with commas between them; an empty text is none. Throws std::invalid_argument
  /// that names the setting, the part and its bound.
  explicit trusted_proxies(std::string_view setting);

  [[nodiscard]] bool contain(const boost::asio::ip::address& one) const;

private:
  /// Addresses that begin with the same bits; those of IPv4 in the form that IPv6 has for them.
  struct network {
    std::array<unsigned char, 16> address;
    unsigned prefix_bits;
  };
  static network network_of(std::string_view text);

  std::vector<network> networks_;
};

} // namespace tessera
