#include "net/sinks/listener.hpp"

#include <boost/asio/ip/address.hpp>

#include <stdexcept>

namespace tessera {

namespace {

constexpr int backlog = 4096;

[[noreturn]] void fail(const std::string& what, const error_code& why, const char* setting) {
  throw std::runtime_error("cannot listen on " + what + ": " + why.message() + "; choose another with --" + setting);
}

} // namespace

listener::listener(std::shared_ptr<server_core> core, entrance by, const std::string& address, uint16_t port, const char* setting)
  : core_{std::move(core)}, by_{by}, acceptor_{asio::make_strand(*core_->io)}, pause_{acceptor_.get_executor()} {
  auto where = address + ":" + std::to_string(port);
  error_code failed;
  auto ip = asio::ip::make_address(address == "localhost" ? "127.0.0.1" : address, failed);
  if (failed)
    throw std::invalid_argument("bind is '" + address + "', which is no address: give a number such as 127.0.0.1, 0.0.0.0 or ::");
  tcp::endpoint end{ip, port};
  acceptor_.open(end.protocol(), failed);
  if (!failed)
    acceptor_.set_option(asio::socket_base::reuse_address{true}, failed);
  if (!failed)
    acceptor_.bind(end, failed);
  if (!failed)
    acceptor_.listen(backlog, failed);
  if (failed)
    fail(where, failed, setting);
  port_ = acceptor_.local_endpoint().port();
}

void listener::run() {
  asio::post(acceptor_.get_executor(), [self = shared_from_this()] { self->accept(); });
}

void listener::stop() {
  asio::post(acceptor_.get_executor(), [self = shared_from_this()] {
    error_code ignored;
    self->acceptor_.close(ignored);
    self->pause_.cancel();
  });
}

void listener::accept() {
  if (!acceptor_.is_open())
    return;
  acceptor_.async_accept(asio::make_strand(*core_->io), [self = shared_from_this()](error_code failed, auto socket) {
    self->on_accepted(failed, std::move(socket));
  });
}

void listener::on_accepted(error_code failed, tcp::socket::rebind_executor<strand>::other socket) {
  if (!acceptor_.is_open())
    return;
  if (failed) {
    core_->counts->accept_errors.fetch_add(1, std::memory_order_relaxed);
    // Out of file descriptors, most likely: some will be given back.
    pause_.expires_after(std::chrono::milliseconds{50});
    pause_.async_wait([self = shared_from_this()](error_code) { self->accept(); });
    return;
  }
  if (core_->counts->connections.load() >= static_cast<int64_t>(core_->config.max_connections)) {
    core_->counts->rejected.fetch_add(1, std::memory_order_relaxed);
    static constexpr std::string_view full = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: "
                                             "1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(full), ignored);
    socket.shutdown(tcp::socket::shutdown_send, ignored);
  } else {
    error_code ignored;
    socket.set_option(tcp::no_delay{true}, ignored);
    auto session = std::make_shared<http_session>(core_, std::move(socket), by_);
    core_->connections.add(session);
    session->run();
  }
  accept();
}

} // namespace tessera
