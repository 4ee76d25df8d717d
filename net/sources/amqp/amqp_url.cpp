// https://www.rabbitmq.com/uri-spec.html and uri-query-parameters.html, but that an empty vhost means "/", as people expect of
// amqp://host/. rabbitmq-c's amqp_parse_url() will not do: it refuses %80 to %FF, thus all but ASCII in a password, and all that
// has a ?; it ends a text at %00, takes a missing host for localhost and 0 for a port, and never says why it refuses.

#include "net/sources/amqp/amqp_url.hpp"

#include "net/base/percent.hpp"
#include "net/base/utf8.hpp"

#include <algorithm>
#include <charconv>
#include <stdexcept>
#include <string_view>

namespace tessera {

namespace {

constexpr std::string_view plain_scheme = "amqp://", tls_scheme = "amqps://";

[[noreturn]] void refuse(const std::string& why) {
  throw std::invalid_argument("the broker's address " + why
                              + "; it must be amqp://USER:PASSWORD@HOST:PORT/VHOST, or with amqps:// for TLS");
}

std::string decoded(std::string_view text, const char* part) {
  auto out = percent_decoded(text);
  if (!out)
    refuse(std::string("has a % without two hex digits in its ") + part);
  if (out->find('\0') != std::string::npos)
    refuse(std::string("has a zero byte in its ") + part);
  return *out;
}

/// What follows the ? of an address.
void read_query(std::string_view query, amqp_address& a) {
  while (!query.empty()) {
    auto pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    auto equals = pair.find('=');
    auto name = pair.substr(0, equals);
    auto value = equals == std::string_view::npos ? std::string{} : decoded(pair.substr(equals + 1), "query");
    if (name == "heartbeat") {
      unsigned seconds = 0;
      auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), seconds);
      if (error != std::errc{} || end != value.data() + value.size() || seconds < 1 || seconds > 600)
        refuse("has heartbeat=" + printable(value) + ", not 1 to 600 seconds");
      a.heartbeat_s = static_cast<uint16_t>(seconds);
      continue;
    }
    bool about_tls = true;
    amqp_tls none, &tls = a.tls ? *a.tls : none;
    if (name == "cacertfile" || name == "cafile")
      tls.ca_file = value;
    else if (name == "certfile")
      tls.certificate_file = value;
    else if (name == "keyfile")
      tls.key_file = value;
    else if (name == "verify" && (value == "verify_peer" || value == "verify_none"))
      tls.insecure = value == "verify_none";
    else if (name == "verify")
      refuse("has verify=" + printable(value) + ", not verify_peer or verify_none");
    else
      about_tls = false;
    if (!about_tls) // and may be part of a password: it is not repeated
      refuse("has something after a ? that is none of cacertfile, certfile, keyfile, verify and heartbeat (a ? in a password is "
             "written %3F)");
    if (!a.tls)
      refuse("has " + std::string(name) + " after its ?, but begins with amqp://, which is without TLS");
  }
}

} // namespace

bool is_amqp_url(const std::string& url) {
  return url.starts_with(plain_scheme) || url.starts_with(tls_scheme);
}

amqp_address parse_amqp_url(const std::string& url, const amqp_tls& tls) {
  if (!is_amqp_url(url))
    refuse("does not begin with amqp:// or amqps://");
  std::string_view rest = url;
  amqp_address a;
  if (rest.starts_with(tls_scheme)) {
    a.tls = tls;
    a.port = 5671;
  }
  rest.remove_prefix((a.tls ? tls_scheme : plain_scheme).size());
  std::string_view query;
  auto login_end = std::min(rest.find('@'), rest.size());
  if (auto mark = rest.find('?', login_end == rest.size() ? 0 : login_end); mark != std::string_view::npos) {
    query = rest.substr(mark + 1);
    rest = rest.substr(0, mark);
  }
  auto authority = rest.substr(0, rest.find('/'));
  if (authority.size() < rest.size())
    if (auto vhost = rest.substr(authority.size() + 1); !vhost.empty()) {
      if (vhost.find_first_of("/#") != std::string_view::npos)
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
  read_query(query, a);
  if (a.tls && a.tls->certificate_file.empty() != a.tls->key_file.empty())
    refuse(a.tls->key_file.empty() ? "has a certificate of ours (amqp-cert) without its key (amqp-key)"
                                   : "has a key of ours (amqp-key) without its certificate (amqp-cert)");
  return a;
}

std::string amqp_address::shown() const {
  std::string host_text = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return std::string(tls ? tls_scheme : plain_scheme) + user + "@" + host_text + ":" + std::to_string(port)
         + (vhost == "/" ? "/" : "/" + vhost);
}

} // namespace tessera
