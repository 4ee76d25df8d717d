#pragma once
// A viewer that draws nothing: it notes when each patch was there.

#include "messages/clock.hpp"
#include "net/formats/patch_codec.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

namespace tessera::bench {

/// The body of a GET from a service on this machine. Throws boost::system::system_error.
inline std::string fetch(uint16_t port, const std::string& path) {
  namespace http = boost::beast::http;
  using tcp = boost::asio::ip::tcp;
  boost::asio::io_context io;
  tcp::socket socket(io);
  socket.connect({boost::asio::ip::address_v4::loopback(), port});
  http::request<http::empty_body> request{http::verb::get, path, 11};
  request.set(http::field::host, "localhost");
  request.set(http::field::connection, "close");
  http::write(socket, request);
  boost::beast::flat_buffer buffer;
  http::response_parser<http::string_body> answer;
  answer.body_limit(uint64_t{64} << 20);
  http::read(socket, buffer, answer);
  return answer.get().body();
}

/// When a patch was there as a whole, and what it showed.
struct sighting {
  uint64_t at_ns = 0;
  uint64_t keyframe_ns = 0;
  uint32_t bytes = 0;
  uint32_t triangles = 0;
};

/// Subscribes at once, reads in a thread of its own, and acknowledges every patch.
class patch_watcher {
public:
  /// Throws boost::system::system_error if it cannot connect.
  explicit patch_watcher(uint16_t port) : socket_(io_) {
    socket_.next_layer().connect({boost::asio::ip::address_v4::loopback(), port});
    socket_.next_layer().set_option(boost::asio::ip::tcp::no_delay(true));
    socket_.set_option(boost::beast::websocket::stream_base::decorator(
      [](boost::beast::websocket::request_type& request) { request.set("Sec-WebSocket-Protocol", "tessera.v2, tessera.v1"); }));
    socket_.read_message_max(uint64_t{256} << 20);
    socket_.handshake("localhost:" + std::to_string(port), "/v1/stream");
    say(R"({"type":"subscribe","epoch":"","have":[],"max_bits_per_s":0})");
    thread_ = std::thread([this] { read(); });
  }
  patch_watcher(const patch_watcher&) = delete;
  patch_watcher& operator=(const patch_watcher&) = delete;
  ~patch_watcher() { close(); }

  [[nodiscard]] std::vector<sighting> seen() {
    std::lock_guard lock(mutex_);
    return seen_;
  }
  /// Why it stopped reading before it was closed; empty if it did not.
  [[nodiscard]] std::string fault() {
    std::lock_guard lock(mutex_);
    return fault_;
  }
  void close() {
    if (!thread_.joinable())
      return;
    closing_ = true;
    boost::system::error_code ignored;
    socket_.next_layer().shutdown(boost::asio::ip::tcp::socket::shutdown_both, ignored);
    thread_.join();
  }

private:
  void say(const std::string& text) {
    socket_.text(true);
    socket_.write(boost::asio::buffer(text));
  }

  void read() {
    try {
      for (boost::beast::flat_buffer buffer;; buffer.clear()) {
        socket_.read(buffer);
        const auto now = system_ns();
        if (socket_.got_text())
          continue;
        const auto bytes = buffer.cdata();
        const auto head = parse_patch_header({static_cast<const std::byte*>(bytes.data()), bytes.size()}, 2);
        {
          std::lock_guard lock(mutex_);
          seen_.push_back({now, head.keyframe_ns, static_cast<uint32_t>(bytes.size()), head.triangles});
        }
        const auto number = [](auto v) { return std::to_string(v); };
        say(R"({"type":"ack","patches":[[)" + number(head.region.x) + ',' + number(head.region.y) + ',' + number(head.region.z)
            + ",\"" + number(head.version) + "\"]]}");
      }
    } catch (const std::exception& e) {
      std::lock_guard lock(mutex_);
      if (!closing_)
        fault_ = e.what();
    }
  }

  boost::asio::io_context io_;
  boost::beast::websocket::stream<boost::asio::ip::tcp::socket> socket_;
  std::atomic<bool> closing_ = false;
  std::mutex mutex_;
  std::vector<sighting> seen_;
  std::string fault_;
  std::thread thread_;
};

} // namespace tessera::bench
