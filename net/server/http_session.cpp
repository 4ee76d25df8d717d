#include "net/server/http_session.hpp"

#include "net/server/forwarded.hpp"
#include "net/server/http_rules.hpp"
#include "net/server/server_certificate.hpp"
#include "net/server/ws_session.hpp"

#include <boost/beast/websocket/rfc6455.hpp>

#include <algorithm>
#include <utility>

namespace tessera {

namespace {

constexpr unsigned char tls_handshake_record = 22; ///< RFC 8446, section 5.1: the first byte of TLS, and of no HTTP
constexpr uint32_t max_header_bytes = 16 << 10;
// What is read at once: little at first, more of a body of which much came already.
constexpr size_t least_read = 4 << 10, most_read = 64 << 10;
// What is read and thrown away after an answer that came before the end of the body, so that the client gets
// to see it; as much as the largest body, if that is more.
constexpr uint64_t least_drained = 64 << 20;
constexpr std::chrono::seconds max_lingering{5};
// Who takes an answer more slowly, after a while, ends when others wait for the memory that it takes.
constexpr uint64_t least_answer_bytes_per_s = 64 << 10;

} // namespace

http_session::http_session(std::shared_ptr<server_core> core, tcp::socket::rebind_executor<strand>::other socket, entrance by,
                           const asio::ip::address& peer, connection_places::place place)
  : core_{std::move(core)}, place_{std::move(place)}, stream_{std::move(socket)}, by_{by}, buffer_{max_header_bytes + most_read},
    peer_{peer}, client_{peer}, share_{core_->bodies, peer} {
  core_->counts->connections.fetch_add(1);
}

http_session::~http_session() {
  core_->connections.remove(this);
  set_under_way(false);
  if (counted_)
    core_->counts->connections.fetch_sub(1);
}

template <class F>
auto http_session::guarded(F act) {
  return [self = shared_from_this(), act = std::move(act)](auto&&... values) mutable {
    try {
      act(std::forward<decltype(values)>(values)...);
    } catch (const std::bad_alloc&) {
      self->out_of_memory();
    }
  };
}

void http_session::out_of_memory() noexcept {
  try {
    if (serializer_ || shakes_hands_)
      return close(); // an answer is half said, or none can be
    release_body();
    (void)core_->running.context.numbers->count_not_now({hindrance::memory, "the process gets no memory for an HTTP request"});
    respond(error_reply(http::status::service_unavailable, "no_memory", "there is no memory for this now; send it again later"));
  } catch (const std::exception&) {
    close();
  }
}

void http_session::run() {
  asio::post(stream_.get_executor(), [self = shared_from_this()] {
    self->by_ == entrance::main && self->core_->config.certificate ? self->receive_handshake() : self->read_header();
  });
}

void http_session::leave() {
  asio::post(stream_.get_executor(), [self = shared_from_this()] {
    self->leaving_ = true;
    if (!self->busy_)
      self->close();
  });
}

void http_session::abort() {
  asio::post(stream_.get_executor(), [self = shared_from_this()] { self->close(); });
}

void http_session::close() {
  error_code ignored;
  stream_.socket().close(ignored);
}

void http_session::release_body() {
  body_ = std::vector<std::byte>{}; // `= {}` would keep the memory
  share_.release();
}

void http_session::set_under_way(bool is) {
  if (std::exchange(under_way_, is) != is)
    core_->counts->under_way.fetch_add(is ? 1 : -1, std::memory_order_relaxed);
}

// Its first byte tells it from HTTP, which is answered in its own words.
void http_session::receive_handshake() {
  stream_.expires_after(core_->config.timeouts.handshake);
  stream_.async_read_some(buffer_.prepare(least_read), guarded([this](error_code failed, size_t bytes) {
                            if (failed)
                              return end_handshake();
                            buffer_.commit(bytes);
                            if (*static_cast<const unsigned char*>(buffer_.data().data()) == tls_handshake_record)
                              return shake_hands();
                            not_understood(http::status::bad_request, "bad_request",
                                           "this port speaks TLS: ask it by https://, or a viewer's stream by wss://");
                          }));
}

void http_session::shake_hands() {
  shakes_hands_ = true;
  stream_.begin_tls(*core_->config.certificate->context());
  stream_.async_handshake(asio::ssl::stream_base::server, buffer_.data(), guarded([this](error_code failed, size_t used) {
                            if (failed)
                              return end_handshake();
                            shakes_hands_ = false;
                            buffer_.consume(used);
                            read_header();
                          }));
}

void http_session::end_handshake() {
  core_->counts->bad_handshakes.fetch_add(1, std::memory_order_relaxed);
  close();
}

void http_session::read_header() {
  busy_ = false;
  if (leaving_)
    return close();
  parser_.emplace();
  parser_->header_limit(max_header_bytes);
  parser_->body_limit(UINT64_MAX); // set once it is known what the body is for
  stream_.expires_after(core_->config.timeouts.idle);
  if (buffer_.size() > 0)
    return parse_header(); // the client did not wait for the last answer
  if (buffer_.capacity() > least_read)
    buffer_.shrink_to_fit();
  receive_header();
}

void http_session::receive_header() {
  stream_.async_read_some(buffer_.prepare(least_read), guarded([this](error_code failed, size_t bytes) {
                            if (failed)
                              return close(); // end, timeout, reset: nobody is left to be told
                            buffer_.commit(bytes);
                            parse_header();
                          }));
}

void http_session::parse_header() {
  const auto data = buffer_.data();
  busy_ = true;
  if (has_folded_line({static_cast<const char*>(data.data()), data.size()}))
    return not_understood(http::status::bad_request, "bad_request",
                          "this is not HTTP: a line of the header goes on in the next one, or begins with a blank");
  error_code failed;
  buffer_.consume(parser_->put(data, failed));
  if (failed && failed != http::error::need_more)
    return bad_request(failed);
  if (!parser_->is_header_done()) {
    busy_ = false;
    return receive_header();
  }
  on_header();
}

void http_session::bad_request(error_code failed) {
  if ((failed == http::error::header_limit || failed == http::error::buffer_overflow) && parser_->is_header_done())
    return not_understood(http::status::bad_request, "bad_request",
                          "a chunk's header, or the trailer behind the chunks, has more than "
                            + std::to_string(failed == http::error::header_limit ? max_header_bytes : buffer_.max_size())
                            + " bytes",
                          "body");
  if (failed == http::error::header_limit || failed == http::error::buffer_overflow)
    return not_understood(http::status::request_header_fields_too_large, "too_large",
                          "the request's header has more than " + std::to_string(max_header_bytes) + " bytes");
  if (failed == http::error::body_limit)
    return not_understood(http::status::payload_too_large, "too_large",
                          "the body has more than " + std::to_string(head_.body_limit) + " bytes", "body");
  not_understood(http::status::bad_request, "bad_request", "this is not HTTP: " + failed.message());
}

void http_session::not_understood(http::status status, std::string_view code, std::string_view reason, std::string_view field) {
  core_->counts->bad_requests.fetch_add(1, std::memory_order_relaxed);
  head_ = {};
  body_read_ = false;
  respond(error_reply(status, code, reason, field));
}

void http_session::on_header() {
  began_ = std::chrono::steady_clock::now();
  set_under_way(true);
  const auto& request = parser_->get();
  if (auto fault = find_fault(request.base()))
    return not_understood(fault->status, fault->status == http::status::not_implemented ? "not_implemented" : "bad_request",
                          std::string(fault->field) + ": " + fault->reason, fault->field);
  head_.header = request.base();
  head_.target = parse_target({request.target().data(), request.target().size()});
  head_.host = head_.field(http::field::host);
  head_.scheme = stream_.has_tls() ? "https" : "";
  head_.has_body = parser_->chunked() || (parser_->content_length() && *parser_->content_length() > 0);
  head_.content_length = parser_->content_length() ? std::optional<uint64_t>{*parser_->content_length()} : std::nullopt;
  head_.body_limit = body_limit_of(*core_, head_.target.what, request.method());
  body_read_ = !head_.has_body;
  const bool believed = core_->config.proxies.contain(peer_);
  if (believed && !take_forwarded())
    return;
  head_.forwarded = is_forwarded(head_.header) && !(believed && says_client(head_.header) && client_.is_loopback());
  if (auto refusal = refuse_early(*core_, by_, head_))
    return respond(std::move(*refusal));
  if (head_.target.what == resource::stream)
    return upgrade();
  if (body_read_)
    return handle();
  parser_->body_limit(head_.body_limit);
  renewed_at_ = 0;
  share_.begin([weak = weak_from_this()] {
    if (auto self = weak.lock()) {
      const auto executor = self->stream_.get_executor();
      asio::post(executor, [self = std::move(self)] { self->make_way(); });
    }
  });
  stream_.expires_after(core_->config.timeouts.progress);
  if (equal_ignoring_case(head_.field(http::field::expect), "100-continue")) {
    static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    asio::async_write(stream_, asio::buffer(go_on),
                      guarded([this](error_code failed, size_t) { failed ? close() : parse_body(); }));
    return;
  }
  parse_body();
}

// A proxy's connection serves one client after the other. Answers whether the request goes on.
bool http_session::take_forwarded() {
  const auto read = read_forwarded(head_.header, peer_, core_->config.proxies);
  if (const auto* fault = std::get_if<header_fault>(&read)) {
    not_understood(fault->status, "bad_request", std::string(fault->field) + ": " + fault->reason, fault->field);
    return false;
  }
  const auto& said = std::get<forwarded>(read);
  if (!place_.move_to(said.client)) {
    core_->counts->rejected.fetch_add(1, std::memory_order_relaxed);
    body_read_ = false; // the connection is not kept
    respond(error_reply(http::status::service_unavailable, "busy", "this client has half of all connections; try again later"));
    return false;
  }
  if (said.client != client_)
    share_.move_to(said.client);
  client_ = said.client;
  if (!said.host.empty())
    head_.host = said.host;
  if (!said.scheme.empty())
    head_.scheme = said.scheme;
  return true;
}

void http_session::receive_body() {
  const auto now = std::chrono::steady_clock::now();
  if (now - began_ > core_->config.timeouts.body)
    return respond(error_reply(http::status::request_timeout, "timeout", "the body took too long"));
  if (body_.size() - renewed_at_ >= most_read) {
    renewed_at_ = body_.size();
    stream_.expires_after(core_->config.timeouts.progress);
  }
  if (share_.ended())
    return made_way();
  const auto step = std::min(std::clamp(body_.size(), least_read, most_read), buffer_.max_size() - buffer_.size());
  if (step == 0)
    return bad_request(http::error::buffer_overflow);
  waits_for_body_ = true;
  stream_.async_read_some(buffer_.prepare(step), guarded([this](error_code failed, size_t bytes) {
                            waits_for_body_ = false;
                            if (failed == asio::error::operation_aborted && share_.ended())
                              return made_way();
                            if (failed)
                              return close();
                            buffer_.commit(bytes);
                            parse_body();
                          }));
}

void http_session::parse_body() {
  while (!parser_->is_done()) {
    if (buffer_.size() == 0)
      return receive_body();
    if (body_.size() == body_.capacity() && !make_room())
      return;
    const auto had = body_.size(), window = std::min(body_.capacity() - had, buffer_.size());
    body_.resize(had + window);
    auto& into = parser_->get().body();
    into.data = body_.data() + had;
    into.size = window;
    into.more = true;
    error_code failed;
    const auto used = parser_->put(buffer_.data(), failed);
    buffer_.consume(used);
    body_.resize(had + window - into.size);
    share_.came(body_.size());
    if (failed == http::error::need_more)
      return receive_body();
    if (failed == http::error::need_buffer && body_.size() < head_.body_limit)
      continue;
    if (failed)
      return bad_request(failed == http::error::need_buffer ? http::error::body_limit : failed);
  }
  if (!share_.whole())
    return made_way();
  body_read_ = true;
  core_->counts->received_bytes.fetch_add(body_.size(), std::memory_order_relaxed);
  handle();
}

// Memory follows what came, never what was announced: twice as much each time, no more than can come.
bool http_session::make_room() {
  const auto had = body_.capacity();
  const auto most = head_.content_length.value_or(head_.body_limit);
  const auto wanted = static_cast<size_t>(std::min<uint64_t>(std::max(2 * had, least_read), most));
  if (wanted <= had)
    return true; // what still comes is the end, or too much
  if (!share_.take(wanted - had)) {
    respond(error_reply(http::status::service_unavailable, "busy", "too many bodies are on their way; send this one again"));
    return false;
  }
  body_.reserve(wanted);
  return true;
}

// The body was so slow that it makes room for others.
void http_session::make_way() {
  if (waits_for_body_ && share_.ended())
    stream_.cancel();
}

void http_session::made_way() {
  respond(error_reply(http::status::service_unavailable, "busy",
                      "too many bodies are on their way, and this one came too slowly; send it again"));
}

void http_session::handle() {
  stream_.expires_never();
  auto back = return_address<strand>{core_->io, stream_.get_executor()};
  answer(core_, head_, std::move(body_), back, guarded([this](http_reply reply) { respond(std::move(reply)); }));
}

void http_session::upgrade() {
  auto& request = parser_->get();
  if (!beast::websocket::is_upgrade(request))
    return respond(error_reply(http::status::upgrade_required, "upgrade_required", "this path is a WebSocket")
                     .with("Upgrade", "websocket")
                     .with("Connection", "Upgrade"));
  if (!ws_session::protocol_of(request[http::field::sec_websocket_protocol]))
    return respond(error_reply(http::status::bad_request, "bad_request", "the subprotocol must be tessera.v2 or tessera.v1",
                               "Sec-WebSocket-Protocol"));
  if (auto early = answer_before_map(*core_, head_.target.what))
    return respond(std::move(*early));
  core_->counts->count(resource::stream, 101);
  stream_.expires_never();
  http::request<http::empty_body> handshake{head_.header};
  auto viewer = std::make_shared<ws_session>(core_, std::move(stream_), std::move(handshake), std::move(place_), client_);
  // Counted once: the viewer's from now on.
  counted_ = false;
  core_->connections.remove(this);
  core_->connections.add(viewer);
  viewer->run();
}

bool http_session::has_already(beast::string_view tag) const {
  if (tag.empty())
    return false;
  const auto [first, last] = head_.header.equal_range(http::field::if_none_match);
  return std::any_of(first, last, [&](const auto& given) {
    return names_tag({given.value().data(), given.value().size()}, {tag.data(), tag.size()});
  });
}

void http_session::respond(http_reply reply) {
  set_under_way(false);
  release_body();
  const bool head_only = head_.header.method() == http::verb::head;
  response_ = {};
  response_.result(reply.status);
  response_.version(11);
  response_.set(http::field::server, "tessera");
  response_.set("X-Content-Type-Options", "nosniff");
  response_.set("Cross-Origin-Resource-Policy", "same-origin");
  // Whoever may open the stream from another site's page asks here why it does not open.
  if (head_.target.what == resource::map && open_to_pages_of_other_sites(core_->rules))
    response_.set("Access-Control-Allow-Origin", "*");
  for (const auto& [name, value] : reply.headers)
    response_.set(name, value);
  if (reply.status == http::status::ok && has_already(response_[http::field::etag])) {
    response_.result(http::status::not_modified);
    reply.body = {};
  } else {
    if (!reply.content_type.empty())
      response_.set(http::field::content_type, reply.content_type);
    response_.content_length(reply.body.data.size());
  }
  // Bytes of a body that were not read would stand before the next request: then the connection is not kept.
  bool keep = body_read_ && parser_ && parser_->is_header_done() && parser_->get().keep_alive() && !leaving_ && !core_->stopping;
  response_.keep_alive(keep);
  core_->counts->count(head_.target.what, response_.result_int());
  if (!head_only) {
    core_->counts->answered_bytes.fetch_add(reply.body.data.size(), std::memory_order_relaxed);
    response_.body() = std::move(reply.body);
  }
  busy_ = true;
  wanted_ = std::move(reply.wanted);
  answer_began_ = std::chrono::steady_clock::now();
  written_ = 0;
  serializer_.emplace(response_);
  write();
}

void http_session::write() {
  // Piece by piece: a large answer may take its time as long as it moves.
  stream_.expires_after(core_->config.timeouts.progress);
  http::async_write_some(stream_, *serializer_,
                         [self = shared_from_this()](error_code failed, size_t bytes) { self->on_written(failed, bytes); });
}

bool http_session::keeps_others_waiting() const {
  if (!wanted_ || !wanted_->load(std::memory_order_relaxed))
    return false;
  const auto took = std::chrono::steady_clock::now() - answer_began_;
  return took > core_->config.timeouts.slow_answer
         && static_cast<double>(written_) < std::chrono::duration<double>(took).count() * double{least_answer_bytes_per_s};
}

void http_session::on_written(error_code failed, size_t bytes) {
  written_ += bytes;
  if (failed || (!serializer_->is_done() && keeps_others_waiting()))
    return close();
  if (!serializer_->is_done())
    return write();
  serializer_.reset();
  wanted_.reset();
  auto keep = response_.keep_alive();
  response_ = {};
  if (began_ != std::chrono::steady_clock::time_point{})
    core_->counts->request_time.record(static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - began_).count()));
  began_ = {};
  if (keep)
    read_header();
  else
    linger();
}

void http_session::linger() {
  stream_.expires_after(max_lingering);
  stream_.async_shutdown([self = shared_from_this()](error_code) {
    error_code ignored;
    self->stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    if (self->body_read_)
      return self->close();
    self->drain();
  });
}

void http_session::drain() {
  buffer_.clear();
  stream_.below().async_read_some(buffer_.prepare(4 * least_read), [self = shared_from_this()](error_code failed, size_t bytes) {
    self->drained_ += bytes;
    if (failed || self->drained_ > std::max(least_drained, self->core_->config.body_limit))
      return self->close();
    self->drain();
  });
}

} // namespace tessera
