#pragma once

#include "net/sinks/routes.hpp"

namespace tessera {

/// Which port a connection came in by.
enum class entrance : uint8_t { main, metrics };

/// Serves one HTTP connection until it ends, or becomes a viewer's stream.
class http_session final : public connection, public std::enable_shared_from_this<http_session> {
public:
  http_session(std::shared_ptr<server_core> core, tcp::socket::rebind_executor<strand>::other socket, entrance by);
  ~http_session() override;

  void run();
  void leave() override;
  void abort() override;

private:
  void read_header();
  void on_header(error_code failed);
  void read_body();
  void on_body(error_code failed, size_t bytes);
  void handle();
  void upgrade();
  void respond(http_reply reply);
  void write();
  void on_written(error_code failed);
  void linger();
  void drain();
  void close();
  void bad_request(error_code failed);
  void release_body();

  std::shared_ptr<server_core> core_;
  stream stream_;
  const entrance by_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::buffer_body>> parser_;
  request_head head_;
  std::vector<std::byte> body_;
  int64_t counted_body_bytes_ = 0;
  std::chrono::steady_clock::time_point began_{};
  bool busy_ = false, leaving_ = false, counted_ = true;
  bool body_read_ = false;
  size_t drained_ = 0;
  http::response<bytes_body> response_;
  std::optional<http::response_serializer<bytes_body>> serializer_;
};

} // namespace tessera
