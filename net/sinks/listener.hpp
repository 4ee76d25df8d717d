#pragma once

#include "net/sinks/http_session.hpp"

namespace tessera {

/// Accepts the connections of one port.
class listener final : public std::enable_shared_from_this<listener> {
public:
  /// Binds. Throws std::runtime_error that names the address and what to do.
  listener(std::shared_ptr<server_core> core, entrance by, const std::string& address, uint16_t port, const char* setting);

  void run();
  void stop();
  [[nodiscard]] uint16_t port() const { return port_; }

private:
  void accept();
  void on_accepted(error_code failed, tcp::socket::rebind_executor<strand>::other socket);

  std::shared_ptr<server_core> core_;
  const entrance by_;
  asio::basic_socket_acceptor<tcp, strand> acceptor_;
  asio::steady_timer pause_;
  uint16_t port_ = 0;
};

} // namespace tessera
