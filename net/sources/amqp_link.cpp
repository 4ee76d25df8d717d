#include "net/sources/amqp_link.hpp"

#include <amqp_tcp_socket.h>

namespace tessera {

namespace {

constexpr amqp_channel_t channel = 1;
constexpr int largest_frame_bytes = 131072;
constexpr timeval connect_limit{3, 0};
constexpr timeval answer_limit{10, 0};

amqp_bytes_t view(const std::string& text) {
  return {text.size(), const_cast<char*>(text.data())};
}

std::string text_of(amqp_bytes_t bytes) {
  return {static_cast<const char*>(bytes.bytes), bytes.len};
}

/// The broker's reason for closing the channel or the connection, and its code.
std::pair<std::string, int> reason_of(const amqp_method_t& method) {
  if (method.id == AMQP_CHANNEL_CLOSE_METHOD) {
    const auto& close = *static_cast<const amqp_channel_close_t*>(method.decoded);
    return {text_of(close.reply_text), close.reply_code};
  }
  if (method.id == AMQP_CONNECTION_CLOSE_METHOD) {
    const auto& close = *static_cast<const amqp_connection_close_t*>(method.decoded);
    return {text_of(close.reply_text), close.reply_code};
  }
  const char* name = amqp_method_name(method.id);
  return {std::string("unexpected ") + (name != nullptr ? name : "method"), 0};
}

} // namespace

void amqp_link::closer::operator()(amqp_connection_state_t state) const {
  // A polite close would wait for an answer that a dead broker never gives: the broker understands a closed
  // socket as well.
  amqp_destroy_connection(state);
}

void amqp_link::check(int status, const std::string& what) const {
  if (status != AMQP_STATUS_OK)
    throw amqp_error(where_ + ": " + what + ": " + amqp_error_string2(status), 0);
}

void amqp_link::check(const amqp_rpc_reply_t& reply, const std::string& what) const {
  switch (reply.reply_type) {
  case AMQP_RESPONSE_NORMAL:
    return;
  case AMQP_RESPONSE_LIBRARY_EXCEPTION:
    check(reply.library_error, what);
    break;
  case AMQP_RESPONSE_SERVER_EXCEPTION: {
    auto [reason, code] = reason_of(reply.reply);
    throw amqp_error(where_ + ": " + what + ": " + reason, code);
  }
  case AMQP_RESPONSE_NONE:
    break;
  }
  throw amqp_error(where_ + ": " + what + ": no answer", 0);
}

amqp_link::amqp_link(const amqp_address& address, uint16_t heartbeat_s) : where_(address.shown()), state_(amqp_new_connection()) {
  if (!state_)
    throw std::bad_alloc();
  auto* socket = amqp_tcp_socket_new(state_.get()); // owned by the state
  if (socket == nullptr)
    throw std::bad_alloc();
  check(amqp_set_handshake_timeout(state_.get(), &answer_limit), "setting a limit");
  check(amqp_set_rpc_timeout(state_.get(), &answer_limit), "setting a limit");
  auto limit = connect_limit;
  check(amqp_socket_open_noblock(socket, address.host.c_str(), address.port, &limit), "connecting");
  check(amqp_login(state_.get(), address.vhost.c_str(), 0, largest_frame_bytes, heartbeat_s, AMQP_SASL_METHOD_PLAIN,
                   address.user.c_str(), address.password.c_str()),
        "logging in");
  open_channel();
}

void amqp_link::open_channel() {
  amqp_channel_open(state_.get(), channel);
  check(amqp_get_rpc_reply(state_.get()), "opening a channel");
}

template <class F>
bool amqp_link::exists(F declare, const std::string& what) {
  declare();
  auto reply = amqp_get_rpc_reply(state_.get());
  constexpr int not_found = 404;
  if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD
      && reason_of(reply.reply).second == not_found) {
    amqp_channel_close_ok_t closed{};
    check(amqp_send_method(state_.get(), channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &closed), what);
    open_channel();
    return false;
  }
  check(reply, what);
  return true;
}

void amqp_link::ensure_exchange(const std::string& name) {
  // Passive first: what others have made, with whatever arguments, is good enough, and needs no right to make
  // it.
  auto declare = [&](amqp_boolean_t passive) {
    amqp_exchange_declare(state_.get(), channel, view(name), amqp_cstring_bytes("topic"), passive, 1, 0, 0, amqp_empty_table);
  };
  if (exists([&] { declare(1); }, "looking for exchange " + name))
    return;
  declare(0);
  check(amqp_get_rpc_reply(state_.get()), "declaring exchange " + name);
}

bool amqp_link::queue_exists(const std::string& name) {
  return exists([&] { amqp_queue_declare(state_.get(), channel, view(name), 1, 1, 0, 0, amqp_empty_table); },
                "looking for queue " + name);
}

void amqp_link::ensure_queue(const std::string& name) {
  if (queue_exists(name))
    return;
  amqp_queue_declare(state_.get(), channel, view(name), 0, 1, 0, 0, amqp_empty_table);
  check(amqp_get_rpc_reply(state_.get()), "declaring queue " + name);
}

void amqp_link::bind(const std::string& queue, const std::string& exchange, const std::string& routing_key) {
  amqp_queue_bind(state_.get(), channel, view(queue), view(exchange), view(routing_key), amqp_empty_table);
  check(amqp_get_rpc_reply(state_.get()), "binding queue " + queue + " to exchange " + exchange);
}

void amqp_link::consume(const std::string& queue, uint16_t prefetch) {
  amqp_basic_qos(state_.get(), channel, 0, prefetch, 0);
  check(amqp_get_rpc_reply(state_.get()), "setting the prefetch");
  amqp_basic_consume(state_.get(), channel, view(queue), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
  check(amqp_get_rpc_reply(state_.get()), "consuming queue " + queue);
}

std::optional<amqp_delivery> amqp_link::next() {
  for (;;) {
    amqp_maybe_release_buffers(state_.get());
    timeval at_once{};
    amqp_envelope_t envelope{};
    auto reply = amqp_consume_message(state_.get(), &envelope, &at_once, 0);
    if (reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION) {
      if (reply.library_error == AMQP_STATUS_TIMEOUT)
        return std::nullopt;
      if (reply.library_error == AMQP_STATUS_UNEXPECTED_STATE) {
        take_other_frame();
        continue;
      }
    }
    check(reply, "receiving");
    struct release {
      amqp_envelope_t* envelope;
      ~release() { amqp_destroy_envelope(envelope); }
    } released{&envelope};
    amqp_delivery d;
    d.tag = envelope.delivery_tag;
    d.redelivered = envelope.redelivered != 0;
    d.routing_key = text_of(envelope.routing_key);
    const auto& properties = envelope.message.properties;
    if (properties._flags & AMQP_BASIC_CONTENT_TYPE_FLAG)
      d.content_type = text_of(properties.content_type);
    if (properties._flags & AMQP_BASIC_MESSAGE_ID_FLAG)
      d.message_id = text_of(properties.message_id);
    const auto* body = static_cast<const std::byte*>(envelope.message.body.bytes);
    d.body.assign(body, body + envelope.message.body.len);
    return d;
  }
}

void amqp_link::take_other_frame() {
  amqp_frame_t frame{};
  timeval at_once{};
  int status = amqp_simple_wait_frame_noblock(state_.get(), &frame, &at_once);
  if (status == AMQP_STATUS_TIMEOUT)
    return;
  check(status, "receiving");
  if (frame.frame_type != AMQP_FRAME_METHOD)
    return; // what is left of a message that nobody waits for
  switch (frame.payload.method.id) {
  case AMQP_CHANNEL_CLOSE_METHOD:
  case AMQP_CONNECTION_CLOSE_METHOD: {
    auto [reason, code] = reason_of(frame.payload.method);
    throw amqp_error(where_ + ": the broker closed the connection: " + reason, code);
  }
  case AMQP_BASIC_CANCEL_METHOD:
    throw amqp_error(where_ + ": the queue was deleted", 0);
  default:
    return;
  }
}

void amqp_link::acknowledge(uint64_t tag) {
  check(amqp_basic_ack(state_.get(), channel, tag, 0), "acknowledging");
}

void amqp_link::reject(uint64_t tag, bool requeue) {
  check(amqp_basic_reject(state_.get(), channel, tag, requeue ? 1 : 0), "rejecting");
}

} // namespace tessera
