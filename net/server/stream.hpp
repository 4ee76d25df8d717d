#pragma once

#include "net/server/asio_types.hpp"

#include <boost/beast/ssl.hpp>

#include <utility>
#include <variant>

namespace tessera {

/// A socket whose operations know how long they may take: plain at first, with TLS over it from begin_tls() on. An asynchronous
/// stream in the words of Asio, on whose executor, a strand, everything runs. It may be moved while nothing is under way.
class stream {
public:
  /// What is below TLS, if there is any.
  using tcp_stream = beast::basic_stream<tcp, strand>;
  using executor_type = strand;

  explicit stream(tcp_stream::socket_type socket) : layers_{std::in_place_type<tcp_stream>, std::move(socket)} {}

  executor_type get_executor() noexcept { return below().get_executor(); }
  tcp_stream& below() noexcept {
    auto* const secured = std::get_if<tls_stream>(&layers_);
    return secured ? secured->next_layer() : *std::get_if<tcp_stream>(&layers_);
  }
  tcp_stream::socket_type& socket() noexcept { return below().socket(); }
  [[nodiscard]] bool has_tls() const noexcept { return std::holds_alternative<tls_stream>(layers_); }

  /// See beast::basic_stream. The limit is for all that begins until another one is set.
  void expires_after(std::chrono::nanoseconds limit) { below().expires_after(limit); }
  void expires_never() { below().expires_never(); }
  void cancel() { below().cancel(); }

  /// Puts TLS over the socket; async_handshake() comes next. Throws if there is no memory for it: then the socket is closed.
  void begin_tls(asio::ssl::context& context) {
    tls_stream secured{std::move(std::get<tcp_stream>(layers_)), context};
    layers_.emplace<tls_stream>(std::move(secured));
  }
  /// `came`: what was read of the handshake already. Calls `then(error_code, size_t)` with how much of that was used.
  template <class Buffers, class Handler>
  void async_handshake(asio::ssl::stream_base::handshake_type role, const Buffers& came, Handler&& then) {
    std::get<tls_stream>(layers_).async_handshake(role, came, std::forward<Handler>(then));
  }
  /// Says in TLS that nothing more will come, and waits until the other side says the same. Without TLS there is nothing to say.
  /// Calls `then(error_code)`, perhaps at once.
  template <class Handler>
  void async_shutdown(Handler&& then) {
    if (auto* const secured = std::get_if<tls_stream>(&layers_))
      secured->async_shutdown(std::forward<Handler>(then));
    else
      then(error_code{});
  }

  template <class Buffers, class Handler>
  void async_read_some(const Buffers& into, Handler&& then) {
    std::visit([&](auto& layer) { layer.async_read_some(into, std::forward<Handler>(then)); }, layers_);
  }
  template <class Buffers, class Handler>
  void async_write_some(const Buffers& from, Handler&& then) {
    std::visit([&](auto& layer) { layer.async_write_some(from, std::forward<Handler>(then)); }, layers_);
  }

  // By which a WebSocket ends its connection.
  friend void beast_close_socket(stream& one) { beast_close_socket(one.below()); }
  friend void teardown(beast::role_type role, stream& one, error_code& failed) {
    std::visit([&](auto& layer) { teardown(role, layer, failed); }, one.layers_);
  }
  template <class Handler>
  friend void async_teardown(beast::role_type role, stream& one, Handler&& then) {
    std::visit([&](auto& layer) { async_teardown(role, layer, std::forward<Handler>(then)); }, one.layers_);
  }

private:
  using tls_stream = beast::ssl_stream<tcp_stream>;

  std::variant<tcp_stream, tls_stream> layers_;
};

} // namespace tessera
