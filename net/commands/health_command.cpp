#include "net/commands/health_command.hpp"

#include "net/base/utf8.hpp"
#include "net/server/http_rules.hpp"
#include "net/server/stream.hpp"

#include <ostream>
#include <stdexcept>
#include <string_view>

namespace tessera {

namespace {

struct place {
  std::string host, port, path;
  bool tls = false;
};

place place_of(const std::string& url) {
  const auto fault = [&](const char* why) {
    return std::invalid_argument("\"" + url + "\" is not http://HOST:PORT or http://HOST:PORT/PATH, nor with https://: " + why);
  };
  const auto scheme = scheme_of(url);
  if (scheme.empty())
    throw fault("it does not begin with http:// or https://");
  const auto rest = std::string_view(url).substr(scheme.size());
  const auto slash = rest.find('/');
  auto authority = rest.substr(0, slash);
  place out;
  out.tls = scheme.starts_with("https");
  out.path = slash == std::string_view::npos || slash + 1 == rest.size() ? "/healthz" : rest.substr(slash);
  if (authority.find('@') != std::string_view::npos)
    throw std::invalid_argument("the address has a user (what stands before its @), of which the service knows nothing");
  if (const auto host = host_of(authority); !host || host->empty())
    throw fault("there is no host, or not in this form");
  const auto colon = authority.rfind(':');
  if (const auto bracket = authority.rfind(']');
      colon != std::string_view::npos && (bracket == std::string_view::npos || bracket < colon)) {
    out.port = authority.substr(colon + 1);
    authority = authority.substr(0, colon);
    if (out.port.empty() || out.port.size() > 5 || out.port.find_first_not_of("0123456789") != std::string::npos
        || std::stoul(out.port) > 65535)
      throw fault("the port is not 0 to 65535");
  } else {
    out.port = out.tls ? "443" : "80";
  }
  if (authority.starts_with('[') && authority.ends_with(']'))
    authority = authority.substr(1, authority.size() - 2);
  if (authority.empty())
    throw fault("there is no host");
  if (std::string_view(url).find_first_of(" \t\r\n") != std::string_view::npos)
    throw fault("it has blanks");
  out.host = authority;
  return out;
}

} // namespace

std::string health_url(const std::string& bind, uint16_t port, bool tls) {
  const auto host = bind == "0.0.0.0" ? "127.0.0.1" : bind == "::" ? "::1" : bind;
  return (tls ? "https://" : "http://") + (host.find(':') == std::string::npos ? host : '[' + host + ']') + ':'
         + std::to_string(port) + "/healthz";
}

int health_command(const std::string& url, std::chrono::milliseconds limit, std::ostream& out) {
  const auto to = place_of(url);
  asio::io_context io;
  stream socket{tcp::socket::rebind_executor<strand>::other{asio::make_strand(io)}};
  asio::ssl::context context{asio::ssl::context::tls_client};
  beast::flat_buffer buffer;
  http::response<http::string_body> answer;
  error_code failed = asio::error::would_block; // until something else is known
  tcp::resolver resolver(io);
  http::request<http::empty_body> ask{http::verb::get, to.path, 11};
  ask.set(http::field::host, "localhost:" + to.port);
  ask.set(http::field::user_agent, "tessera health");
  ask.keep_alive(false);

  const auto done = [&](error_code error, size_t) { failed = error; };
  const auto read = [&](error_code error, size_t) {
    if (failed = error; !error)
      http::async_read(socket, buffer, answer, done);
  };
  const auto write = [&](error_code error, size_t) {
    if (failed = error; !error)
      http::async_write(socket, ask, read);
  };
  const auto secure = [&](error_code error, const tcp::endpoint&) {
    if (failed = error; error || !to.tls)
      return write(error, 0);
    socket.begin_tls(context);
    socket.async_handshake(asio::ssl::stream_base::client, asio::const_buffer{}, write);
  };
  const auto connect = [&](error_code error, const tcp::resolver::results_type& found) {
    if (failed = error; !error)
      socket.below().async_connect(found, secure);
  };
  resolver.async_resolve(to.host, to.port, connect);
  // The whole has the limit, not each step; a name that is not answered in time is left where it is.
  socket.expires_after(limit);
  io.run_for(limit);

  if (!io.stopped() || failed == beast::error::timeout)
    throw std::runtime_error(url + " does not answer within " + std::to_string(limit.count()) + " ms");
  if (failed)
    throw std::runtime_error(url + " cannot be asked: " + failed.message() + "; is the service there?");
  const auto line = std::string_view(answer.body()).substr(0, answer.body().find('\n'));
  out << url << ": " << answer.result_int() << ' ' << printable(line) << '\n';
  return answer.result() == http::status::ok ? 0 : 1;
}

} // namespace tessera
