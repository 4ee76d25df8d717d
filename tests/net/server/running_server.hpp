#pragma once
// A server in front of actors that say what the test wants, and clients that speak raw HTTP.

#include "actors/supervision/inspector.hpp"
#include "actors/viewers/broadcaster.hpp"
#include "net/formats/patch_codec.hpp"
#include "net/server/server.hpp"
#include "tests/support/synthetic_mesh.hpp"

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/websocket.hpp>
#include <nlohmann/json.hpp>

#include <condition_variable>
#include <cstring>
#include <deque>
#include <mutex>
#include <set>

#include <sys/socket.h>

namespace tessera::test {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;

/// A sink that remembers, and answers what the test wants.
class recording_sink final : public keyframe_sink {
public:
  void offer(map_input what, completion done) override {
    std::visit([&](auto& one) { take(one, done); }, what);
  }
  void retract_all(keyframe_selection which, completion done) override {
    std::lock_guard lock{mutex_};
    cleared_.push_back(std::move(which));
    auto v = next_;
    v.keyframes = ids_.size();
    done(v);
  }
  void correct(correction what, completion done) override {
    std::lock_guard lock{mutex_};
    corrected_.push_back(std::move(what));
    done(next_);
  }
  void set_aside(const std::string& source, const std::string& what, const std::string& reason) override {
    std::lock_guard lock{mutex_};
    aside_.push_back(source + "|" + what + "|" + reason);
  }
  void answer_with(verdict v) {
    std::lock_guard lock{mutex_};
    next_ = std::move(v);
  }
  /// The next offer throws.
  void fail_with(std::exception_ptr thrown) {
    std::lock_guard lock{mutex_};
    throw_ = std::move(thrown);
  }
  void hold(bool on) {
    std::lock_guard lock{mutex_};
    held_ = on;
    released_.notify_all();
  }
  std::vector<keyframe> offered() {
    std::lock_guard lock{mutex_};
    return offered_;
  }
  std::vector<std::pair<std::string, pose>> revised() {
    std::lock_guard lock{mutex_};
    return revised_;
  }
  /// Those of revisions.
  std::vector<std::optional<uint64_t>> numbers() {
    std::lock_guard lock{mutex_};
    return numbers_;
  }
  std::vector<keyframe_selection> cleared() {
    std::lock_guard lock{mutex_};
    return cleared_;
  }
  std::vector<correction> corrected() {
    std::lock_guard lock{mutex_};
    return corrected_;
  }
  std::vector<std::string> aside() {
    std::lock_guard lock{mutex_};
    return aside_;
  }

private:
  void take(const keyframe& frame, const completion& done) {
    verdict answer;
    {
      std::unique_lock lock{mutex_};
      released_.wait(lock, [this] { return !held_; });
      offered_.push_back(frame);
      if (throw_) {
        const auto thrown = std::exchange(throw_, nullptr);
        std::rethrow_exception(thrown);
      }
      answer = ids_.insert(frame.id).second ? next_ : verdict{outcome::duplicate, {}};
    }
    done(answer);
  }
  void take(const retraction& of, const completion& done) {
    std::lock_guard lock{mutex_};
    const auto reason = next_.what == outcome::unknown ? next_.reason : "";
    done(ids_.erase(of.id) > 0 ? verdict{} : verdict{outcome::unknown, reason});
  }
  void take(const revision& to, const completion& done) {
    std::lock_guard lock{mutex_};
    revised_.emplace_back(shown(to.id), to.world_from_camera);
    numbers_.push_back(to.number);
    done({ids_.count(to.id) > 0 ? outcome::accepted : outcome::unknown, {}});
  }

  std::mutex mutex_;
  std::condition_variable released_;
  bool held_ = false;
  verdict next_;
  std::exception_ptr throw_;
  std::set<keyframe_id> ids_;
  std::vector<keyframe_selection> cleared_;
  std::vector<correction> corrected_;
  std::vector<keyframe> offered_;
  std::vector<std::pair<std::string, pose>> revised_;
  std::vector<std::optional<uint64_t>> numbers_;
  std::vector<std::string> aside_;
};

struct system_config : caf::actor_system_config {
  system_config() {
    register_messages(*this);
    set("scheduler.max-threads", 2u);
  }
};

/// What the fake partitioner answers.
struct fake_map {
  /// It answers nothing more, until it is released.
  void hold() { held.lock(); }
  void release() { held.unlock(); }

  std::mutex held;
  std::atomic<int> status_asked{0};
  map_status status;
  std::vector<region_status> regions;
  std::vector<region_mesh> meshes;
  field_slice slice;
  field_plane plane; ///< that was asked for
};

inline partitioner_actor::behavior_type fake_partitioner(partitioner_actor::pointer, std::shared_ptr<fake_map> map) {
  return {
    [](ingest_atom, const map_input&) { return verdict{}; },
    [](retract_atom, const keyframe_selection&) { return verdict{}; },
    [](revise_atom, const correction&) { return verdict{}; },
    [](refill_atom, const region_key&, const mesher_actor&) {},
    [map](status_atom) {
      ++map->status_asked;
      const std::lock_guard lock{map->held};
      return map->status;
    },
    [map](list_atom) { return map->regions; },
    [map](mesh_atom) { return map->meshes; },
    [map](slice_atom, const field_plane& plane) {
      const std::lock_guard lock{map->held};
      map->plane = plane;
      return map->slice;
    },
  };
}

inline keyframe parse_test_keyframe(const std::string& id, uint64_t timestamp_ns, std::vector<std::byte> body) {
  if (body.size() < 4)
    throw std::invalid_argument("body has " + std::to_string(body.size()) + " bytes, at least 4 must be");
  auto points = std::make_shared<owned_keyframe_body>();
  points->colour_data.resize(body.size());
  std::memcpy(points->colour_data.data(), body.data(), body.size());
  keyframe out;
  out.id.value = id;
  out.timestamp_ns = timestamp_ns;
  out.body = points;
  return out;
}

/// Everything that a test of the server needs.
class running_server {
public:
  explicit running_server(std::function<void(server_config&)> change = {}) {
    map->status.epoch = "epoch-1";
    map->status.field.hash = {1, 2};
    map->status.keyframes = 3;
    map->status.voxel_m = 0.02f;
    map->status.field.bytes = uint64_t{1} << 40;
    map->regions.push_back({{1, -2, 3}, {0}, UINT64_MAX, {}, 4, 2, 100, 12345678901234567890u});
    running.partitioner = system.spawn(fake_partitioner, map);
    running.context.numbers->devices.put({}, "cpu");
    running.broadcaster = spawn_broadcaster(
      system, running.context,
      {"epoch-1", [](const region_mesh& m, uint64_t k, uint64_t r) { return encode_patch(m, quantum, k, r); }});
    running.inspector = spawn_inspector(system, running.context);
    running.epoch = "epoch-1";
    running.session.region_m = 0.64f;
    server_config told;
    told.port = told.metrics_port = 0;
    told.map.voxel_m = 0.02f;
    told.parse_keyframe = parse_test_keyframe;
    told.body_limit = 1 << 20;
    told.timeouts.stop = std::chrono::seconds{30}; // clients that take their leave end it sooner
    if (change)
      change(told);
    http = std::make_unique<server>(system, running, sink, std::move(told));
  }

  ~running_server() {
    sink.hold(false);
    http.reset();
    for (auto a : {caf::actor_cast<caf::actor>(running.partitioner.get()), caf::actor_cast<caf::actor>(running.broadcaster.get()),
                   caf::actor_cast<caf::actor>(running.inspector.get())})
      caf::anon_send_exit(a, caf::exit_reason::user_shutdown);
    running = {};
  }

  static constexpr float quantum = patch_quantum_m(0.02f);

  /// Publishes a patch of a region as a mesher would.
  patch publish(int x0, uint64_t version, int size = 16) {
    auto p = encode_patch(region_of_ground(x0, x0 + size, size, 0.02f, version), quantum, version * 10, version * 20);
    caf::anon_send(running.broadcaster.get(), patch_atom::value, p);
    return p;
  }

  system_config config;
  caf::actor_system system{config};
  std::shared_ptr<fake_map> map = std::make_shared<fake_map>();
  service running;
  recording_sink sink;
  std::unique_ptr<server> http;
};

/// A connection of a client that waits two minutes at most for anything.
class client {
public:
  /// `from`: an address of this machine. `buffer`: bytes that it takes before they are read; 0: as the system likes.
  explicit client(uint16_t port, const char* from = "127.0.0.1", int buffer = 0) : socket_{io_} {
    socket_.open(tcp::v4());
    if (buffer > 0)
      socket_.set_option(asio::socket_base::receive_buffer_size{buffer});
    socket_.bind({asio::ip::make_address(from), 0});
    socket_.connect({asio::ip::make_address("127.0.0.1"), port});
    timeval limit{120, 0};
    setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(socket_.native_handle(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  }
  void send(std::string_view text) { asio::write(socket_, asio::buffer(text)); }
  /// Sends as much as the other side takes; answers whether that was all.
  bool try_send(std::string_view text) {
    boost::system::error_code failed;
    asio::write(socket_, asio::buffer(text), failed);
    return !failed;
  }
  /// Reads so many bytes at most, and throws them away.
  void read_some(size_t bytes) {
    std::string into(bytes, ' ');
    boost::system::error_code ended;
    socket_.read_some(asio::buffer(into), ended);
  }
  void end_of_sending() { socket_.shutdown(tcp::socket::shutdown_send); }

  struct answer {
    int status = 0; ///< 0: there was none
    std::string head, body;
    [[nodiscard]] nlohmann::json json() const { return nlohmann::json::parse(body, nullptr, false); }
    /// The value of a header, or nothing.
    [[nodiscard]] std::string header(const std::string& name) const {
      const auto at = head.find("\r\n" + name + ": ");
      const auto from = at + name.size() + 4;
      return at == std::string::npos ? std::string{} : head.substr(from, head.find("\r\n", from) - from);
    }
    [[nodiscard]] bool has(const std::string& header) const { return head.find("\r\n" + header) != std::string::npos; }
  };

  answer receive(bool head_only = false) {
    answer out;
    size_t end = 0;
    while ((end = read_.find("\r\n\r\n")) == std::string::npos)
      if (!more())
        return out;
    out.head = read_.substr(0, end + 2);
    read_.erase(0, end + 4);
    out.status = std::stoi(out.head.substr(9, 3));
    size_t length = 0;
    if (auto at = out.head.find("\r\nContent-Length: "); at != std::string::npos)
      length = std::stoul(out.head.substr(at + 18));
    if (head_only || out.status == 304 || out.status == 101)
      return out;
    while (read_.size() < length)
      if (!more())
        break;
    out.body = read_.substr(0, length);
    read_.erase(0, length);
    return out;
  }

  /// Everything that comes until the other side ends the connection.
  std::string rest() {
    ended();
    return std::move(read_);
  }

  /// Tells whether the other side ends the connection.
  bool ended() {
    while (more())
      ;
    return last_ != 0 || !timed_out_;
  }

  tcp::socket& socket() { return socket_; }

private:
  bool more() {
    char buffer[16384];
    auto n = ::recv(socket_.native_handle(), buffer, sizeof buffer, 0);
    if (n <= 0) {
      timed_out_ = n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
      last_ = n == 0;
      return false;
    }
    read_.append(buffer, static_cast<size_t>(n));
    return true;
  }

  asio::io_context io_;
  tcp::socket socket_;
  std::string read_;
  bool last_ = false, timed_out_ = false;
};

/// Headers of a keyframe that is posted, under the id "k 1".
inline const std::string keyframe_headers
  = "Content-Type: application/vnd.tessera.keyframe\r\nX-Keyframe-Id: k%201\r\nX-Timestamp-Ns: 77\r\n";

inline client::answer get(uint16_t port, const std::string& target, const std::string& headers = "") {
  client c{port};
  c.send("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
  return c.receive();
}

inline client::answer request(uint16_t port, const std::string& method, const std::string& target, const std::string& headers,
                              const std::string& body) {
  client c{port};
  c.try_send(method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n" + headers
             + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  return c.receive();
}

/// A viewer's WebSocket.
class viewer {
public:
  using websocket = boost::beast::websocket::stream<tcp::socket>;

  explicit viewer(uint16_t port, const std::string& target = "/v1/stream", const std::string& origin = "",
                  const char* protocol = "tessera.v1")
    : socket_{io_} {
    socket_.next_layer().connect({asio::ip::make_address("127.0.0.1"), port});
    timeval limit{120, 0};
    setsockopt(socket_.next_layer().native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    socket_.set_option(boost::beast::websocket::stream_base::decorator{[=](boost::beast::websocket::request_type& request) {
      if (protocol)
        request.set(boost::beast::http::field::sec_websocket_protocol, protocol);
      if (!origin.empty())
        request.set(boost::beast::http::field::origin, origin);
    }});
    socket_.handshake(response, "localhost:" + std::to_string(port), target);
  }

  void say(const std::string& text) {
    socket_.text(true);
    socket_.write(asio::buffer(text));
  }

  /// The next frame; nothing if the connection ended, then `closed` says how.
  std::optional<std::string> hear() {
    boost::beast::flat_buffer buffer;
    boost::system::error_code failed;
    socket_.read(buffer, failed);
    if (failed) {
      closed = socket_.reason().code;
      return std::nullopt;
    }
    return boost::beast::buffers_to_string(buffer.data());
  }

  /// The next text frame of a type, passing over others.
  nlohmann::json hear_json(const std::string& type) {
    for (int i = 0; i < 10'000; ++i) {
      auto frame = hear();
      if (!frame)
        return {};
      if (!socket_.got_text())
        continue;
      auto in = nlohmann::json::parse(*frame);
      if (in["type"] == type)
        return in;
    }
    return {};
  }

  /// The next patch, passing over text.
  std::optional<patch_header> hear_patch() {
    for (int i = 0; i < 10'000; ++i) {
      auto frame = hear();
      if (!frame)
        return std::nullopt;
      if (socket_.got_text())
        continue;
      last_patch = *frame;
      return parse_patch_header(std::as_bytes(std::span{last_patch}));
    }
    return std::nullopt;
  }

  websocket& socket() { return socket_; }

  boost::beast::websocket::response_type response;
  uint16_t closed = 0;
  std::string last_patch;

private:
  asio::io_context io_;
  websocket socket_;
};

/// Waits, two minutes at most, until something holds.
template <class F>
bool eventually(F holds) {
  for (int i = 0; i < 24'000; ++i) {
    if (holds())
      return true;
    std::this_thread::sleep_for(std::chrono::milliseconds{5});
  }
  return false;
}

} // namespace tessera::test
