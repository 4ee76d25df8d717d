#include "net/server/client_address.hpp"

#include "messages/comma_list.hpp"

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <string>

namespace tessera {

namespace {

using address_bytes = std::array<unsigned char, 16>;

address_bytes bytes_of(const boost::asio::ip::address& one) {
  return (one.is_v6() ? one.to_v6() : boost::asio::ip::make_address_v6(boost::asio::ip::v4_mapped, one.to_v4())).to_bytes();
}

/// The address with nothing but zeros beyond its prefix, which has 128 bits at most.
address_bytes without_host(address_bytes address, unsigned prefix_bits) {
  for (unsigned bit = prefix_bits; bit < 128; ++bit)
    address[bit / 8] = static_cast<unsigned char>(address[bit / 8] & ~(0x80u >> bit % 8));
  return address;
}

[[noreturn]] void refuse(std::string_view part, const std::string& why) {
  throw std::invalid_argument("trusted-proxy: \"" + std::string(part) + "\" " + why);
}

} // namespace

boost::asio::ip::address client_of(const boost::asio::ip::address& from) {
  if (!from.is_v6())
    return from;
  auto v6 = from.to_v6();
  if (v6.is_v4_mapped())
    return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, v6);
  auto bytes = v6.to_bytes();
  for (size_t i = 8; i < bytes.size(); ++i)
    bytes[i] = 0;
  return boost::asio::ip::address_v6(bytes);
}

trusted_proxies::trusted_proxies(std::string_view setting) {
  if (without_blanks(setting).empty())
    return;
  for (const auto part : comma_list(setting))
    networks_.push_back(network_of(part));
}

trusted_proxies::network trusted_proxies::network_of(std::string_view text) {
  const auto slash = std::min(text.find('/'), text.size());
  boost::system::error_code failed;
  const auto address = boost::asio::ip::make_address(std::string(text.substr(0, slash)), failed);
  if (failed || (address.is_v6() && address.to_v6().scope_id() != 0))
    refuse(text, "is neither an IPv4 or IPv6 address nor one with a prefix, such as 127.0.0.1, 10.0.0.0/8 or fd00::/8");
  const unsigned bits = address.is_v4() ? 32 : 128;
  unsigned prefix = bits;
  if (slash < text.size()) {
    const auto number = text.substr(slash + 1);
    const auto* const end = number.data() + number.size();
    if (const auto [read, code] = std::from_chars(number.data(), end, prefix);
        code != std::errc{} || read != end || prefix > bits)
      refuse(text, "has a prefix that is not 0 to " + std::to_string(bits));
  }
  network out{bytes_of(address), prefix + 128 - bits};
  if (without_host(out.address, out.prefix_bits) != out.address)
    refuse(text,
           "has bits beyond its prefix of " + std::to_string(prefix) + ": they must be 0, or the prefix " + std::to_string(bits));
  return out;
}

bool trusted_proxies::contain(const boost::asio::ip::address& one) const {
  if (networks_.empty())
    return false;
  const auto bytes = bytes_of(one);
  return std::any_of(networks_.begin(), networks_.end(),
                     [&](const network& of) { return without_host(bytes, of.prefix_bits) == of.address; });
}

} // namespace tessera
