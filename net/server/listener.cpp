#include "net/server/listener.hpp"

#include <boost/asio/ip/address.hpp>

#include <stdexcept>

namespace tessera {

namespace {

constexpr int backlog = 4096;
constexpr std::chrono::milliseconds pause{50};

[[noreturn]] void fail(const std::string& what, const error_code& why, const char* setting) {
  if (why == asio::error::address_family_not_supported || why == boost::system::errc::address_not_available)
    setting = "bind"; // no port of it would do
  throw std::runtime_error("cannot listen on " + what + ": " + why.message() + "; choose another with --" + setting);
}

} // namespace

listener::listener(std::shared_ptr<server_core> core, entrance by, const std::string& address, uint16_t port, const char* setting)
  : core_{std::move(core)}, by_{by}, acceptor_{asio::make_strand(*core_->io)}, pause_{acceptor_.get_executor()} {
  auto where = address + ":" + std::to_string(port);
  error_code failed;
  const tcp::endpoint end{address_of(address), port};
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

class listener::intent {
public:
  explicit intent(std::shared_ptr<listener> of) : of_{std::move(of)} { of_->intents_.fetch_add(1); }
  intent(intent&&) = default;
  intent(const intent&) = delete;
  intent& operator=(const intent&) = delete;
  ~intent() {
    if (of_)
      of_->intents_.fetch_sub(1);
  }
  /// Ends the intent, since now it is acted on.
  std::shared_ptr<listener> act() {
    of_->intents_.fetch_sub(1);
    return std::move(of_);
  }

private:
  std::shared_ptr<listener> of_;
};

void listener::keep_accepting() {
  if (!stopped_ && intents_ == 0)
    asio::post(acceptor_.get_executor(), [mine = intent(shared_from_this())]() mutable { mine.act()->accept(); });
}

void listener::stop() {
  stopped_ = true;
  asio::post(acceptor_.get_executor(), [self = shared_from_this()] {
    error_code ignored;
    self->acceptor_.close(ignored);
    self->pause_.cancel();
  });
}

void listener::accept() {
  if (!acceptor_.is_open() || intents_ > 0)
    return;
  acceptor_.async_accept(asio::make_strand(*core_->io),
                         [mine = intent(shared_from_this())](error_code failed, auto socket) mutable {
                           mine.act()->on_accepted(failed, std::move(socket));
                         });
}

void listener::accept_later() {
  pause_.expires_after(pause);
  pause_.async_wait([mine = intent(shared_from_this())](error_code) mutable { mine.act()->accept(); });
}

void listener::on_accepted(error_code failed, tcp::socket::rebind_executor<strand>::other socket) {
  if (!acceptor_.is_open())
    return;
  if (!failed) {
    try {
      take(std::move(socket));
      return accept();
    } catch (const std::bad_alloc&) {
      // This connection is gone; the next one comes after the pause.
    }
  }
  core_->counts->accept_errors.fetch_add(1, std::memory_order_relaxed);
  // Out of descriptors or memory, most likely: some will be given back. What a client did (it is gone already) needs no pause.
  if (failed == asio::error::connection_aborted)
    accept();
  else
    accept_later();
}

void listener::take(tcp::socket::rebind_executor<strand>::other socket) {
  error_code ignored;
  error_code gone;
  const auto from = socket.remote_endpoint(gone).address();
  auto place = (by_ == entrance::main ? core_->places : core_->metrics_places).take(from);
  if (!place) {
    core_->counts->rejected.fetch_add(1, std::memory_order_relaxed);
    if (by_ == entrance::metrics || !core_->config.certificate) { // with TLS it would have to be encrypted: it is not worth that
      static constexpr std::string_view full = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: "
                                               "1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
      socket.non_blocking(true, ignored);
      socket.write_some(asio::buffer(full), ignored);
    }
    socket.shutdown(tcp::socket::shutdown_send, ignored);
    return;
  }
  socket.set_option(tcp::no_delay{true}, ignored);
  auto session = std::make_shared<http_session>(core_, std::move(socket), by_, from, std::move(*place));
  core_->connections.add(session);
  session->run();
}

} // namespace tessera
