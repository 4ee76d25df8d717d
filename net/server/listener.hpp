#pragma once

#include "net/server/http_session.hpp"

namespace tessera {

/// Accepts the connections of one port, until it is stopped: whatever fails meanwhile (no descriptor, no memory), it goes on
/// after a pause.
class listener final : public std::enable_shared_from_this<listener> {
public:
  /// Binds. Throws std::invalid_argument if `address` is none, std::runtime_error that names the address and what to do if it
  /// cannot be had.
  listener(std::shared_ptr<server_core> core, entrance by, const std::string& address, uint16_t port, const char* setting);

  /// Sees to it that connections are accepted. To be called at first, and whenever a handler threw: that one may have been to
  /// accept the next. Throws if there is no memory for it: then call it again later. Threads: any.
  void keep_accepting();
  void stop();
  [[nodiscard]] uint16_t port() const { return port_; }

private:
  /// Part of a handler that goes on accepting when it runs; if it goes without having run, nobody would.
  class intent;
  void accept();
  void accept_later();
  void on_accepted(error_code failed, tcp::socket::rebind_executor<strand>::other socket);
  void take(tcp::socket::rebind_executor<strand>::other socket);

  std::shared_ptr<server_core> core_;
  const entrance by_;
  asio::basic_socket_acceptor<tcp, strand> acceptor_;
  asio::steady_timer pause_;
  uint16_t port_ = 0;
  std::atomic<int> intents_{0};
  std::atomic<bool> stopped_{false};
};

} // namespace tessera
