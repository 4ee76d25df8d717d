// https://www.rabbitmq.com/uri-spec.html, but that an empty vhost means "/", as people expect of
// amqp://host/.

#include "net/sources/amqp_url.hpp"

#include "net/sources/percent.hpp"

#include <charconv>
#include <stdexcept>
#include <string_view>

namespace tessera {

namespace {

[[noreturn]] void refuse(const std::string& why) {
  throw std::invalid_argument("the broker's address " + why + "; it must be amqp://USER:PASSWORD@HOST:PORT/VHOST");
}

std::string decoded(std::string_view text, const char* part) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned byte = 0;
    const char* digits = text.data() + i + 1;
    if (text.size() - i < 3 || std::from_chars(digits, digits + 2, byte, 16).ptr != digits + 2)
      refuse(std::string("has a % without two hex digits in its ") + part);
    if (byte == 0)
      refuse(std::string("has a zero byte in its ") + part);
    out += static_cast<char>(byte);
    i += 2;
  }
  return out;
}

} // namespace

amqp_address parse_amqp_url(const std::string& url) {
  std::string_view rest = url;
  constexpr std::string_view scheme = "amqp://";
  if (!rest.starts_with(scheme))
    refuse("does not begin with amqp://");
  rest.remove_prefix(scheme.size());
  amqp_address a;
  auto authority = rest.substr(0, rest.find('/'));
  if (authority.size() < rest.size())
    if (auto vhost = rest.substr(authority.size() + 1); !vhost.empty()) {
      if (vhost.find_first_of("/?#") != std::string_view::npos)
        refuse("has more than a vhost after its host (a slash in a vhost is written %2F)");
      a.vhost = decoded(vhost, "vhost");
    }
  if (auto at = authority.rfind('@'); at != std::string_view::npos) {
    auto login = authority.substr(0, at);
    authority.remove_prefix(at + 1);
    auto colon = login.find(':');
    a.user = decoded(login.substr(0, colon), "user");
    if (colon != std::string_view::npos)
      a.password = decoded(login.substr(colon + 1), "password");
  }
  auto host = authority;
  size_t colon = std::string_view::npos;
  if (authority.starts_with('[')) { // IPv6
    auto end = authority.find(']');
    if (end == std::string_view::npos)
      refuse("has a [ without its ]");
    host = authority.substr(1, end - 1);
    if (end + 1 < authority.size()) {
      if (authority[end + 1] != ':')
        refuse("has something other than a port after ]");
      colon = end + 1;
    }
  } else {
    colon = authority.find(':');
    host = authority.substr(0, colon);
  }
  if (colon != std::string_view::npos) {
    auto digits = authority.substr(colon + 1);
    unsigned port = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc{} || end != digits.data() + digits.size() || port == 0 || port > 65535)
      refuse("has a port that is no number from 1 to 65535");
    a.port = static_cast<uint16_t>(port);
  }
  a.host = decoded(host, "host");
  if (a.host.empty())
    refuse("has no host");
  return a;
}

std::string amqp_address::shown() const {
  std::string host_text = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return "amqp://" + user + "@" + host_text + ":" + std::to_string(port) + (vhost == "/" ? "/" : "/" + vhost);
}

std::string amqp_address::encoded() const {
  std::string host_text = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return "amqp://" + percent_encoded(user) + ":" + percent_encoded(password) + "@" + host_text + ":" + std::to_string(port) + "/"
         + percent_encoded(vhost);
}

} // namespace tessera
