#include "net/server/http_rules.hpp"

#include <boost/asio/ip/address_v6.hpp>

#include <algorithm>
#include <charconv>

namespace tessera {

namespace {

constexpr size_t shown_bytes = 100; ///< of a value that is quoted in an answer

std::string_view view_of(beast::string_view text) {
  return {text.data(), text.size()};
}

bool is_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_in_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
         || std::string_view{"-._~!$&'()*+,;=%"}.find(c) != std::string_view::npos;
}

std::optional<header_fault> framing_fault(const http::request_header<>& header) {
  const auto codings = header.count(http::field::transfer_encoding), lengths = header.count(http::field::content_length);
  if (codings > 0) {
    constexpr auto name = "Transfer-Encoding";
    if (codings > 1)
      return header_fault{http::status::bad_request, "there are " + std::to_string(codings) + " of it, one can be", name};
    if (lengths > 0)
      return header_fault{http::status::bad_request, "it stands beside Content-Length; only one of them can be", name};
    if (header.version() < 11)
      return header_fault{http::status::bad_request, "HTTP/1.0 does not know it", name};
    const auto value = view_of(header[http::field::transfer_encoding]);
    if (!equal_ignoring_case(trimmed(value), "chunked"))
      return header_fault{http::status::not_implemented, "it is " + quoted(value) + ", and only chunked is understood", name};
  }
  if (lengths > 0) {
    constexpr auto name = "Content-Length";
    if (lengths > 1)
      return header_fault{http::status::bad_request, "there are " + std::to_string(lengths) + " of it, one can be", name};
    if (const auto value = view_of(header[http::field::content_length]); !is_digits(trimmed(value)))
      return header_fault{http::status::bad_request, "it is " + quoted(value) + ", which is not a number of bytes", name};
  }
  return std::nullopt;
}

std::optional<header_fault> host_fault(const http::request_header<>& header) {
  constexpr auto name = "Host";
  const auto hosts = header.count(http::field::host);
  if (hosts == 0 && header.version() < 11)
    return std::nullopt;
  if (hosts != 1)
    return header_fault{http::status::bad_request, "there are " + std::to_string(hosts) + " of it, exactly one must be", name};
  const auto host = trimmed(view_of(header[http::field::host]));
  if (!host_of(host))
    return header_fault{http::status::bad_request, "it is " + quoted(host) + ", expected HOST or HOST:PORT", name};
  auto target = view_of(header.target());
  if (const auto scheme = scheme_of(target); !scheme.empty()) {
    target.remove_prefix(scheme.size());
    if (!equal_ignoring_case(target.substr(0, target.find_first_of("/?#")), host))
      return header_fault{http::status::bad_request, "it is " + quoted(host) + ", but the request's target names another host",
                          name};
  }
  return std::nullopt;
}

} // namespace

std::string quoted(std::string_view value) {
  return '\'' + std::string(value.substr(0, shown_bytes)) + '\'';
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t";
  const auto first = text.find_first_not_of(blanks);
  return first == text.npos ? std::string_view{} : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::string_view scheme_of(std::string_view target) {
  for (const std::string_view scheme : {"http://", "https://"})
    if (target.starts_with(scheme))
      return scheme;
  return {};
}

std::optional<header_fault> find_fault(const http::request_header<>& header) {
  auto fault = framing_fault(header);
  return fault ? fault : host_fault(header);
}

bool has_folded_line(std::string_view text) {
  if (text.starts_with("\r\n"))
    return false; // of the header only its end is left; what follows is the body's
  text = text.substr(0, text.find("\r\n\r\n"));
  return text.find("\r\n ") != text.npos || text.find("\r\n\t") != text.npos;
}

std::optional<std::string_view> host_of(std::string_view authority) {
  std::string_view host, rest;
  if (authority.starts_with('[')) {
    const auto end = authority.find(']');
    if (end == authority.npos)
      return std::nullopt;
    host = authority.substr(1, end - 1);
    rest = authority.substr(end + 1);
    error_code failed;
    asio::ip::make_address_v6(std::string(host), failed);
    if (failed || host.find('%') != host.npos)
      return std::nullopt;
  } else {
    const auto end = std::min(authority.find(':'), authority.size());
    host = authority.substr(0, end);
    rest = authority.substr(end);
    if (host.empty() || !std::all_of(host.begin(), host.end(), is_in_name))
      return std::nullopt;
  }
  if (!rest.empty()) {
    const auto port = rest.substr(1);
    uint16_t number = 0;
    if (rest.front() != ':'
        || (!port.empty()
            && (!is_digits(port) || std::from_chars(port.data(), port.data() + port.size(), number).ec != std::errc{})))
      return std::nullopt;
  }
  return host;
}

bool accepts_coding(std::string_view accept_encoding, std::string_view coding) {
  bool any = false;
  for (;;) {
    const auto end = accept_encoding.find(',');
    const auto one = accept_encoding.substr(0, end);
    const auto name = trimmed(one.substr(0, one.find(';')));
    const auto weight = one.find(';') == one.npos ? std::string_view{} : trimmed(one.substr(one.find(';') + 1));
    const bool wanted = !equal_ignoring_case(weight.substr(0, 2), "q=") || weight.find_first_not_of("0.", 2) != weight.npos;
    if (equal_ignoring_case(name, coding))
      return wanted;
    if (name == "*")
      any = wanted;
    if (end == accept_encoding.npos)
      return any;
    accept_encoding.remove_prefix(end + 1);
  }
}

bool names_tag(std::string_view list, std::string_view tag) {
  const auto strong = [](std::string_view one) { return one.starts_with("W/") ? one.substr(2) : one; };
  list = trimmed(list);
  if (list == "*")
    return true;
  // Commas may stand inside the quotes, and quotes cannot: one tag after the other.
  for (;;) {
    list.remove_prefix(std::min(list.find_first_not_of(", \t"), list.size()));
    const auto open = list.find('"');
    const auto close = open == list.npos ? list.npos : list.find('"', open + 1);
    if (close == list.npos)
      return false;
    const auto before = trimmed(list.substr(0, open));
    if ((before.empty() || before == "W/") && list.substr(open, close + 1 - open) == strong(tag))
      return true;
    list = trimmed(list.substr(close + 1));
    if (!list.empty() && list.front() != ',')
      return false;
  }
}

} // namespace tessera
