#include "net/server/ws_session.hpp"

#include "net/formats/patch_codec.hpp"

#include <spdlog/spdlog.h>

namespace tessera {

namespace {

namespace websocket = beast::websocket;

// A stalled viewer costs what the kernel holds for it (twice this) and one frame that others share.
constexpr int send_buffer_bytes = 64 << 10, receive_buffer_bytes = 16 << 10;
constexpr size_t kept_buffer_bytes = 16 << 10;
// A longer text frame is not understood in a thread that others wait for, and what it takes is counted.
constexpr size_t quick_bytes = 16 << 10;
// What is read at once: little at first.
constexpr size_t least_read = 512, most_read = 64 << 10;

} // namespace

std::optional<stream_protocol> ws_session::protocol_of(beast::string_view offered) {
  if (offered.empty())
    return stream_protocol::v1;
  const http::token_list list{offered};
  for (const auto version : {stream_protocol::v2, stream_protocol::v1})
    for (const auto& name : list)
      if (name == name_of(version))
        return version;
  return std::nullopt;
}

ws_session::ws_session(std::shared_ptr<server_core> core, stream socket, http::request<http::empty_body> handshake,
                       connection_places::place place, const asio::ip::address& from)
  : core_{std::move(core)}, place_{std::move(place)}, socket_{std::move(socket)}, timer_{socket_.get_executor()},
    handshake_{std::move(handshake)},
    protocol_{protocol_of(handshake_[http::field::sec_websocket_protocol]).value_or(stream_protocol::v1)}, share_{core_->bodies,
                                                                                                                  from} {
  core_->counts->viewers.fetch_add(1);
}

ws_session::~ws_session() {
  end();
  core_->connections.remove(this);
  core_->counts->viewers.fetch_sub(1);
  core_->counts->connections.fetch_sub(1);
}

void ws_session::run() {
  error_code ignored;
  auto& raw = socket_.next_layer().socket();
  raw.set_option(asio::socket_base::send_buffer_size{send_buffer_bytes}, ignored);
  raw.set_option(asio::socket_base::receive_buffer_size{receive_buffer_bytes}, ignored);
  raw.set_option(tcp::no_delay{true}, ignored);
  socket_.set_option(websocket::stream_base::timeout{std::chrono::seconds{30}, core_->config.timeouts.stream_idle, true});
  socket_.set_option(websocket::stream_base::decorator{
    [named = !handshake_[http::field::sec_websocket_protocol].empty(), version = protocol_](websocket::response_type& response) {
      response.set(http::field::server, "tessera");
      if (named)
        response.set(http::field::sec_websocket_protocol, name_of(version));
    }});
  socket_.read_message_max(max_talk_bytes);
  socket_.auto_fragment(false); // one frame a patch, straight out of the shared buffer
  socket_.async_accept(handshake_, [self = shared_from_this()](error_code failed) { self->on_accepted(failed); });
}

void ws_session::leave() {
  asio::post(socket_.get_executor(),
             [self = shared_from_this()] { self->close(websocket::close_code::going_away, "the service is stopping"); });
}

void ws_session::abort() {
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->end();
    error_code ignored;
    self->socket_.next_layer().socket().close(ignored);
  });
}

void ws_session::on_accepted(error_code failed) {
  handshake_ = {};
  if (failed)
    return;
  open_ = true;
  if (core_->stopping)
    return close(websocket::close_code::going_away, "the service is stopping");
  const auto& map = core_->config.map;
  say({write_hello(protocol_, core_->running.epoch, map, patch_quantum_m(map.voxel_m)), {}, false});
  start_session();
  read();
}

void ws_session::start_session() {
  // The session outlives neither: it knows the socket weakly, and the socket ends it.
  auto weak = weak_from_this();
  auto executor = socket_.get_executor();
  return_address<strand> back{core_->io, executor};
  auto how = core_->running.session;
  how.cells = protocol_ == stream_protocol::v2;
  session_ = spawn_session(core_->system, core_->running.context, core_->running.broadcaster.get(), how,
                           [weak, back](session_output output) {
                             back.post([weak, output = std::move(output)]() mutable {
                               auto self = weak.lock();
                               if (!self)
                                 return;
                               frame next;
                               next.of_session = true;
                               if (auto* p = std::get_if<patch>(&output))
                                 next.binary = std::move(p->frame);
                               else if (auto* cameras = std::get_if<std::vector<camera>>(&output))
                                 next.text = write_cameras(*cameras);
                               else
                                 next.text = write_stats(std::get<session_stats>(output));
                               self->say(std::move(next));
                             });
                           });
  session_->attach_functor([weak, back] {
    back.post([weak] {
      if (auto self = weak.lock())
        self->close(websocket::close_code::try_again_later, "the session ended; connect again");
    });
  });
}

void ws_session::end() {
  if (session_)
    caf::anon_send_exit(session_, caf::exit_reason::user_shutdown);
  session_ = nullptr;
  timer_.cancel();
}

void ws_session::close(websocket::close_code code, const char* why) {
  if (closing_)
    return;
  closing_ = true;
  end();
  if (!open_) {
    error_code ignored;
    socket_.next_layer().socket().close(ignored);
    return;
  }
  // Waits for the frame under way; the idle timeout ends what never gets that far.
  socket_.async_close({code, why}, [self = shared_from_this()](error_code) {});
}

void ws_session::read() {
  forget_heard();
  heard_.reserve(least_read);
  read_more();
}

void ws_session::read_more() {
  socket_.async_read_some(heard_, std::min(most_read, heard_.capacity() - heard_.size()),
                          [self = shared_from_this()](error_code failed, size_t) { self->on_read(failed); });
}

// Memory follows what came, twice as much each time, and is counted once it is more than a viewer says now and then.
bool ws_session::make_room() {
  const auto had = heard_.capacity(), wanted = std::min(2 * had, max_talk_bytes + least_read);
  if (wanted > quick_bytes) {
    if (!std::exchange(is_long_, true))
      share_.begin([weak = weak_from_this(), executor = socket_.get_executor()] {
        asio::post(executor, [weak] {
          if (auto self = weak.lock())
            self->make_way();
        });
      });
    share_.came(heard_.size());
    if (share_.ended() || !share_.take(wanted - had))
      return false;
  }
  heard_.reserve(wanted);
  return true;
}

void ws_session::make_way() {
  if (is_long_ && share_.ended())
    close(websocket::close_code::try_again_later, "this text came too slowly, and others wait for room; connect again");
}

void ws_session::forget_heard() {
  heard_.consume(heard_.size());
  if (heard_.capacity() > kept_buffer_bytes)
    heard_.shrink_to_fit();
  is_long_ = false;
  share_.release();
}

void ws_session::on_read(error_code failed) {
  if (failed) {
    closing_ = true;
    to_say_.resize(std::min<size_t>(to_say_.size(), 1)); // the one under way is in use
    forget_heard();
    return end();
  }
  if (closing_)
    return read(); // until the other side's close frame
  if (!socket_.is_message_done()) {
    try {
      if (heard_.size() < heard_.capacity() || make_room())
        return read_more();
    } catch (const std::bad_alloc&) { // is no room, too
    }
    close(websocket::close_code::try_again_later, "there is no room for so long a text now; connect again");
    return read();
  }
  if (is_long_ && !share_.whole())
    return make_way(), read();
  if (!socket_.got_text()) {
    core_->counts->stream_errors.fetch_add(1, std::memory_order_relaxed);
    close(websocket::close_code::unknown_data, "viewers send text only");
    return read();
  }
  hear();
}

void ws_session::hear() {
  const auto data = heard_.data();
  const std::string_view text{static_cast<const char*>(data.data()), data.size()};
  if (text.size() <= quick_bytes)
    return understand(parse_talk(text), text.size());
  auto executor = socket_.get_executor();
  return_address<strand> back{core_->io, executor};
  asio::post(core_->talks, [self = shared_from_this(), back = std::move(back), text]() mutable {
    talk said;
    try {
      said = parse_talk(text); // nothing is read into the buffer before this is understood
    } catch (const std::bad_alloc&) {
      said = talk_error{"there is no memory for it at the moment", {}};
    }
    back.post([self = std::move(self), said = std::move(said), bytes = text.size()]() mutable {
      self->understand(std::move(said), bytes);
    });
  });
}

void ws_session::understand(talk said, size_t bytes) {
  forget_heard();
  if (closing_)
    return read();
  if (auto* error = std::get_if<talk_error>(&said)) {
    core_->counts->stream_errors.fetch_add(1, std::memory_order_relaxed);
    if (error->too_large) {
      close(websocket::close_code::too_big, "the frame is too large");
      return read();
    }
    // Heard again once this has been said: who does not listen cannot make answers pile up.
    wait_for_say_ = true;
    return say({write_error(*error), {}, false});
  }
  std::visit(
    [this](auto& words) {
      if constexpr (!std::is_same_v<std::decay_t<decltype(words)>, talk_error>)
        if (session_)
          caf::anon_send(session_, std::move(words));
    },
    said);
  const auto now = talk_allowance::clock::now();
  const auto wait = allowance_.hear(now, bytes);
  if (wait <= wait.zero())
    return read();
  timer_.expires_at(now + wait);
  timer_.async_wait([self = shared_from_this()](error_code) { self->read(); });
}

void ws_session::say(frame next) {
  if (closing_)
    return;
  to_say_.push_back(std::move(next));
  if (to_say_.size() == 1)
    write();
}

void ws_session::write() {
  const auto& next = to_say_.front();
  socket_.text(next.binary == nullptr);
  auto bytes = next.binary ? asio::const_buffer{next.binary->data(), next.binary->size()} : asio::buffer(next.text);
  socket_.async_write(bytes,
                      [self = shared_from_this()](error_code failed, size_t written) { self->on_written(failed, written); });
}

void ws_session::on_written(error_code failed, size_t bytes) {
  core_->counts->stream_bytes.fetch_add(bytes, std::memory_order_relaxed);
  auto of_session = to_say_.front().of_session;
  auto heard_again = wait_for_say_ && !of_session;
  if (to_say_.front().binary)
    allowance_.sent_patch();
  to_say_.pop_front();
  if (failed || closing_) {
    to_say_.clear();
    end();
    if (heard_again && !failed) {
      wait_for_say_ = false;
      read();
    }
    return;
  }
  if (of_session && session_)
    caf::anon_send(session_, sent_atom::value);
  if (!to_say_.empty())
    write();
  if (heard_again) {
    wait_for_say_ = false;
    read();
  }
}

} // namespace tessera
