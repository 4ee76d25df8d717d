#pragma once

#include "net/server/routes.hpp"
#include "net/server/stream.hpp"

namespace tessera {

/// Serves one HTTP connection until it ends, or becomes a viewer's stream.
class http_session final : public connection, public std::enable_shared_from_this<http_session> {
public:
  http_session(std::shared_ptr<server_core> core, tcp::socket::rebind_executor<strand>::other socket, entrance by,
               const asio::ip::address& peer, connection_places::place place);
  ~http_session() override;

  void run();
  void leave() override;
  void abort() override;

private:
  /// Makes a handler that, if it finds no memory, has the request answered so.
  template <class F>
  auto guarded(F act);
  void out_of_memory() noexcept;
  void receive_handshake();
  void shake_hands();
  void end_handshake();
  void read_header();
  void receive_header();
  void parse_header();
  void on_header();
  [[nodiscard]] bool take_forwarded();
  void receive_body();
  void parse_body();
  bool make_room();
  void make_way();
  void made_way();
  void handle();
  void upgrade();
  [[nodiscard]] bool has_already(beast::string_view tag) const;
  void respond(http_reply reply);
  void write();
  void on_written(error_code failed, size_t bytes);
  [[nodiscard]] bool keeps_others_waiting() const;
  void linger();
  void drain();
  void close();
  void bad_request(error_code failed);
  void not_understood(http::status status, std::string_view code, std::string_view reason, std::string_view field = {});
  void release_body();
  void set_under_way(bool is);

  std::shared_ptr<server_core> core_;
  connection_places::place place_;
  stream stream_;
  const entrance by_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::buffer_body>> parser_;
  request_head head_;
  std::vector<std::byte> body_;
  const asio::ip::address peer_; ///< the socket's
  asio::ip::address client_;     ///< for whom the newest request is: the peer, or as a trusted proxy tells it
  body_share share_;
  size_t renewed_at_ = 0; ///< bytes of the body that were there when its time limit was renewed
  std::chrono::steady_clock::time_point began_{};
  bool busy_ = false, leaving_ = false, counted_ = true, shakes_hands_ = false;
  bool body_read_ = false, waits_for_body_ = false;
  bool under_way_ = false; ///< a request is counted as such
  size_t drained_ = 0;
  http::response<bytes_body> response_;
  std::optional<http::response_serializer<bytes_body>> serializer_;
  std::shared_ptr<const std::atomic<bool>> wanted_; ///< what the answer holds (http_reply)
  std::chrono::steady_clock::time_point answer_began_{};
  uint64_t written_ = 0; ///< of the answer
};

} // namespace tessera
