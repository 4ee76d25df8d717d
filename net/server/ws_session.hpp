#pragma once

#include "net/server/server_core.hpp"
#include "net/server/stream.hpp"
#include "net/server/talk_allowance.hpp"
#include "net/server/text_frames.hpp"

#include <boost/beast/websocket.hpp>

#include <deque>

namespace tessera {

/// A viewer's socket: frames of its session actor out, its talk in. Patches go out from the one buffer that
/// all viewers share.
class ws_session final : public connection, public std::enable_shared_from_this<ws_session> {
public:
  /// `from`: the viewer's address, whose long text frames are counted as bodies of requests are.
  ws_session(std::shared_ptr<server_core> core, stream socket, http::request<http::empty_body> handshake,
             connection_places::place place, const asio::ip::address& from);
  ~ws_session() override;

  void run();
  void leave() override;
  void abort() override;

  /// The newest of our protocols that a Sec-WebSocket-Protocol header offers; the first one if there is no header; else none.
  static std::optional<stream_protocol> protocol_of(beast::string_view offered);

private:
  struct frame {
    std::string text;
    blob binary;
    bool of_session = false;
  };

  void on_accepted(error_code failed);
  void start_session();
  void read();
  void read_more();
  void on_read(error_code failed);
  [[nodiscard]] bool make_room();
  void make_way();
  void forget_heard();
  void hear();
  void understand(talk said, size_t bytes);
  void say(frame next);
  void write();
  void on_written(error_code failed, size_t bytes);
  void close(beast::websocket::close_code code, const char* why);
  void end();

  std::shared_ptr<server_core> core_;
  connection_places::place place_;
  beast::websocket::stream<stream, false> socket_;
  asio::steady_timer timer_;
  http::request<http::empty_body> handshake_;
  stream_protocol protocol_;
  beast::flat_buffer heard_;
  body_share share_; ///< of what a long text frame takes
  bool is_long_ = false;
  std::deque<frame> to_say_;
  session_actor session_;
  bool open_ = false, closing_ = false, wait_for_say_ = false;
  talk_allowance allowance_;
};

} // namespace tessera
