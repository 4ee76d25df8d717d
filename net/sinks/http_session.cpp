#include "net/sinks/http_session.hpp"

#include "net/sinks/ws_session.hpp"

#include <boost/beast/websocket/rfc6455.hpp>

namespace tessera {

namespace {

constexpr uint32_t max_header_bytes = 16 << 10;
constexpr size_t body_step = 64 << 10;
// What is read and thrown away after an answer that came before the end of the body, so that the client gets
// to see it.
constexpr size_t max_drained = 64 << 20;
constexpr std::chrono::seconds max_lingering{5};

} // namespace

http_session::http_session(std::shared_ptr<server_core> core, tcp::socket::rebind_executor<strand>::other socket, entrance by)
  : core_{std::move(core)}, stream_{std::move(socket)}, by_{by}, buffer_{max_header_bytes + body_step} {
  core_->counts->connections.fetch_add(1);
}

http_session::~http_session() {
  release_body();
  core_->connections.remove(this);
  if (counted_)
    core_->counts->connections.fetch_sub(1);
}

void http_session::run() {
  asio::post(stream_.get_executor(), [self = shared_from_this()] { self->read_header(); });
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
  core_->counts->held_body_bytes.fetch_sub(counted_body_bytes_);
  counted_body_bytes_ = 0;
  body_ = {};
}

void http_session::read_header() {
  busy_ = false;
  if (leaving_)
    return close();
  parser_.emplace();
  parser_->header_limit(max_header_bytes);
  parser_->body_limit(UINT64_MAX); // set once it is known what the body is for
  stream_.expires_after(core_->config.timeouts.idle);
  http::async_read_header(stream_, buffer_, *parser_,
                          [self = shared_from_this()](error_code failed, size_t) { self->on_header(failed); });
}

void http_session::bad_request(error_code failed) {
  core_->counts->bad_requests.fetch_add(1, std::memory_order_relaxed);
  head_ = {};
  body_read_ = false;
  if (failed == http::error::header_limit || failed == http::error::buffer_overflow)
    return respond(error_reply(http::status::request_header_fields_too_large, "too_large",
                               "the request's header has more than " + std::to_string(max_header_bytes) + " bytes"));
  if (failed == http::error::body_limit)
    return respond(error_reply(http::status::payload_too_large, "too_large",
                               "the body has more than " + std::to_string(core_->config.body_limit) + " bytes", "body"));
  respond(error_reply(http::status::bad_request, "bad_request", "this is not HTTP: " + failed.message()));
}

void http_session::on_header(error_code failed) {
  if (failed) {
    // End of stream, timeout, reset: nobody is left to be told. What Beast's parser says, the client gets to
    // know.
    if (failed != http::error::end_of_stream && failed != http::error::partial_message
        && failed.category() == http::make_error_code(http::error::bad_method).category())
      return bad_request(failed);
    return close();
  }
  busy_ = true;
  began_ = std::chrono::steady_clock::now();
  const auto& request = parser_->get();
  head_.header = request.base();
  head_.target = parse_target({request.target().data(), request.target().size()});
  head_.has_body = parser_->chunked() || (parser_->content_length() && *parser_->content_length() > 0);
  head_.content_length = parser_->content_length() ? std::optional<uint64_t>{*parser_->content_length()} : std::nullopt;
  body_read_ = !head_.has_body;
  if (by_ == entrance::metrics)
    return respond(answer_metrics(*core_, head_));
  if (auto refusal = refuse_early(*core_, head_))
    return respond(std::move(*refusal));
  if (head_.target.what == resource::stream)
    return upgrade();
  if (body_read_)
    return handle();
  parser_->body_limit(core_->config.body_limit);
  if (beast::iequals(head_.header[http::field::expect], "100-continue")) {
    static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
    stream_.expires_after(core_->config.timeouts.progress);
    asio::async_write(stream_, asio::buffer(go_on),
                      [self = shared_from_this()](error_code error, size_t) { error ? self->close() : self->read_body(); });
    return;
  }
  read_body();
}

void http_session::read_body() {
  if (std::chrono::steady_clock::now() - began_ > core_->config.timeouts.body)
    return respond(error_reply(http::status::request_timeout, "timeout", "the body took too long"));
  // Memory follows what came, never what was announced; all bodies together are bounded.
  auto more = static_cast<int64_t>(body_step);
  auto held = core_->counts->held_body_bytes.fetch_add(more) + more;
  counted_body_bytes_ += more;
  if (static_cast<uint64_t>(held) > 4 * core_->config.body_limit)
    return respond(
      error_reply(http::status::service_unavailable, "busy", "too many bodies are on their way; send this one again"));
  auto had = body_.size();
  if (body_.capacity() < had + body_step)
    body_.reserve(std::max(2 * body_.capacity(), had + body_step));
  body_.resize(had + body_step);
  auto& into = parser_->get().body();
  into.data = body_.data() + had;
  into.size = body_step;
  into.more = true;
  stream_.expires_after(core_->config.timeouts.progress);
  http::async_read(stream_, buffer_, *parser_, [self = shared_from_this(), had](error_code failed, size_t) {
    auto left = self->parser_->get().body().size;
    self->on_body(failed, had + body_step - left);
  });
}

void http_session::on_body(error_code failed, size_t bytes) {
  body_.resize(bytes);
  if (failed == http::error::need_buffer)
    failed = {};
  if (failed) {
    if (failed == http::error::partial_message || failed == http::error::end_of_stream
        || failed.category() != http::make_error_code(http::error::bad_method).category())
      return close();
    return bad_request(failed);
  }
  if (!parser_->is_done())
    return read_body();
  body_read_ = true;
  core_->counts->received_bytes.fetch_add(body_.size(), std::memory_order_relaxed);
  handle();
}

void http_session::handle() {
  stream_.expires_never();
  auto back = return_address<strand>{core_->io, stream_.get_executor()};
  answer(core_, head_, std::move(body_), back,
         [self = shared_from_this()](http_reply reply) { self->respond(std::move(reply)); });
}

void http_session::upgrade() {
  auto& request = parser_->get();
  if (!beast::websocket::is_upgrade(request))
    return respond(error_reply(http::status::upgrade_required, "upgrade_required", "this path is a WebSocket")
                     .with("Upgrade", "websocket")
                     .with("Connection", "Upgrade"));
  if (!ws_session::speaks_our_protocol(request[http::field::sec_websocket_protocol]))
    return respond(
      error_reply(http::status::bad_request, "bad_request", "the subprotocol must be tessera.v1", "Sec-WebSocket-Protocol"));
  core_->counts->count(resource::stream, 101);
  stream_.expires_never();
  http::request<http::empty_body> handshake{head_.header};
  auto viewer = std::make_shared<ws_session>(core_, std::move(stream_), std::move(handshake));
  // Counted once: the viewer's from now on.
  counted_ = false;
  core_->connections.remove(this);
  core_->connections.add(viewer);
  viewer->run();
}

void http_session::respond(http_reply reply) {
  release_body();
  const bool head_only = head_.header.method() == http::verb::head;
  response_ = {};
  response_.result(reply.status);
  response_.version(11);
  response_.set(http::field::server, "tessera");
  response_.set("X-Content-Type-Options", "nosniff");
  response_.set("Cross-Origin-Resource-Policy", "same-origin");
  for (const auto& [name, value] : reply.headers)
    response_.set(name, value);
  auto tag = response_[http::field::etag];
  if (!tag.empty() && reply.status == http::status::ok && head_.header[http::field::if_none_match] == tag) {
    response_.result(http::status::not_modified);
    reply.body = {};
  } else {
    if (!reply.content_type.empty())
      response_.set(http::field::content_type, reply.content_type);
    response_.content_length(reply.body.data.size());
  }
  // What was not read stands before the next request: then there is none.
  bool keep = body_read_ && parser_ && parser_->is_header_done() && parser_->get().keep_alive() && !leaving_ && !core_->stopping;
  response_.keep_alive(keep);
  core_->counts->count(head_.target.what, response_.result_int());
  if (!head_only) {
    core_->counts->answered_bytes.fetch_add(reply.body.data.size(), std::memory_order_relaxed);
    response_.body() = std::move(reply.body);
  }
  busy_ = true;
  serializer_.emplace(response_);
  write();
}

void http_session::write() {
  // Piece by piece: a large answer may take its time as long as it moves.
  stream_.expires_after(core_->config.timeouts.progress);
  http::async_write_some(stream_, *serializer_,
                         [self = shared_from_this()](error_code failed, size_t) { self->on_written(failed); });
}

void http_session::on_written(error_code failed) {
  if (failed)
    return close();
  if (!serializer_->is_done())
    return write();
  serializer_.reset();
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
  error_code ignored;
  stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  if (body_read_)
    return close();
  buffer_.clear();
  stream_.expires_after(max_lingering);
  drain();
}

void http_session::drain() {
  buffer_.clear();
  stream_.async_read_some(buffer_.prepare(body_step / 4), [self = shared_from_this()](error_code failed, size_t bytes) {
    self->drained_ += bytes;
    if (failed || self->drained_ > max_drained)
      return self->close();
    self->drain();
  });
}

} // namespace tessera
