#include "net/sources/amqp/amqp_link.hpp"

#include "net/base/shortage.hpp"
#include "net/formats/segment_header.hpp"
#include "net/sources/amqp/amqp_tls.hpp"

#include <spdlog/spdlog.h>

#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <utility>

namespace tessera {

namespace {

constexpr amqp_channel_t main_channel = 1, question_channel = 2;
constexpr int largest_frame_bytes = 131072;
// A broker under load takes its time; cut() ends the waiting sooner.
constexpr timeval connect_limit{10, 0}, answer_limit{15, 0};
/// How long a message may go unconfirmed, seconds.
constexpr time_t confirmation_limit_s = 30;
constexpr int not_found = 404, precondition_failed = 406, access_refused = 403;

amqp_bytes_t view(std::string_view text) {
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

amqp_table_entry_t flag(const char* name) {
  amqp_table_entry_t entry{};
  entry.key = amqp_cstring_bytes(name);
  entry.value.kind = AMQP_FIELD_KIND_BOOLEAN;
  entry.value.value.boolean = 1;
  return entry;
}

amqp_table_entry_t text_entry(const char* name, const std::string& text) {
  amqp_table_entry_t entry{};
  entry.key = amqp_cstring_bytes(name);
  entry.value.kind = AMQP_FIELD_KIND_UTF8;
  entry.value.value.bytes = view(text);
  return entry;
}

void read_properties(const amqp_basic_properties_t& given, amqp_delivery& to) {
  if ((given._flags & AMQP_BASIC_CONTENT_TYPE_FLAG) != 0)
    to.content_type = text_of(given.content_type);
  if ((given._flags & AMQP_BASIC_CONTENT_ENCODING_FLAG) != 0)
    to.content_encoding = text_of(given.content_encoding);
  if ((given._flags & AMQP_BASIC_MESSAGE_ID_FLAG) != 0)
    to.message_id = text_of(given.message_id);
  if ((given._flags & AMQP_BASIC_HEADERS_FLAG) == 0)
    return;
  for (int i = 0; i < given.headers.num_entries; ++i) {
    const auto& entry = given.headers.entries[i];
    const bool text = entry.value.kind == AMQP_FIELD_KIND_UTF8 || entry.value.kind == AMQP_FIELD_KIND_BYTES;
    to.headers.push_back({text_of(entry.key), text ? std::optional(text_of(entry.value.value.bytes)) : std::nullopt});
  }
}

} // namespace

bool is_lasting(const amqp_error& error) {
  return dynamic_cast<const amqp_turned_away*>(&error) != nullptr || error.code() == access_refused
         || error.code() == precondition_failed;
}

void amqp_link::closer::operator()(amqp_connection_state_t state) const {
  // A polite close would wait for an answer that a dead broker never gives: the broker understands a closed socket as well.
  amqp_destroy_connection(state);
}

void amqp_link::check(int status, const std::string& what) const {
  if (status == AMQP_STATUS_OK)
    return;
  auto text = where_ + ": " + what + ": " + amqp_error_string2(status);
  if (status == AMQP_STATUS_SSL_ERROR || status == AMQP_STATUS_SSL_CONNECTION_FAILED
      || status == AMQP_STATUS_SSL_PEER_VERIFY_FAILED)
    if (auto why = why_tls_failed(); !why.empty())
      text += ": " + why;
  throw amqp_error(text);
}

void amqp_link::check(const amqp_rpc_reply_t& reply, const std::string& what) const {
  switch (reply.reply_type) {
  case AMQP_RESPONSE_NORMAL:
    return;
  case AMQP_RESPONSE_LIBRARY_EXCEPTION:
    check(reply.library_error, what);
    break;
  case AMQP_RESPONSE_SERVER_EXCEPTION: {
    const auto [reason, code] = reason_of(reply.reply);
    throw amqp_error(where_ + ": " + what + ": " + reason, code);
  }
  case AMQP_RESPONSE_NONE:
    break;
  }
  throw amqp_error(where_ + ": " + what + ": no answer");
}

amqp_link::amqp_link(const amqp_address& address, uint16_t heartbeat_s) : where_(address.shown()), state_(amqp_new_connection()) {
  if (!state_)
    throw std::bad_alloc();
  amqp_socket_t* socket = nullptr; // owned by the state
  if (address.tls) {
    try {
      socket = make_tls_socket(state_.get(), address.host, *address.tls);
    } catch (const shortage_error& e) {
      throw shortage_error(where_ + ": " + e.what());
    } catch (const std::runtime_error& e) {
      throw amqp_turned_away(where_ + ": " + e.what());
    }
  } else {
    socket = amqp_tcp_socket_new(state_.get());
  }
  if (socket == nullptr)
    throw std::bad_alloc();
  auto limit = connect_limit;
  check(amqp_set_handshake_timeout(state_.get(), &answer_limit), "setting a limit");
  check(amqp_set_rpc_timeout(state_.get(), &answer_limit), "setting a limit");
  errno = 0;
  const auto connected = amqp_socket_open_noblock(socket, address.host.c_str(), address.port, &limit);
  if (const auto error = errno; connected != AMQP_STATUS_OK && is_shortage(error))
    throw_not_now(where_ + ": connecting", error);
  // Its own word is "a socket error occurred", and errno says that the connection was under way, and not what became of it.
  if (connected == AMQP_STATUS_SOCKET_ERROR)
    throw amqp_error(where_ + ": connecting: refused, or not reached; is the broker there, and are host and port right?");
  check(connected, connected == AMQP_STATUS_HOSTNAME_RESOLUTION_FAILED ? "looking for the host" : "connecting");
  cutter_ = descriptor(::fcntl(this->socket(), F_DUPFD_CLOEXEC, 0));
  if (!cutter_.valid())
    throw_not_now(where_ + ": connecting", errno);
  log_in(address, heartbeat_s);
  amqp_channel_open(state_.get(), main_channel);
  check(amqp_get_rpc_reply(state_.get()), "opening a channel");
}

void amqp_link::log_in(const amqp_address& address, uint16_t heartbeat_s) {
  // Without the first a broker says nothing when it ends our deliveries.
  std::array capabilities{flag("consumer_cancel_notify"), flag("connection.blocked")};
  const std::string ours = "tessera";
  std::array<amqp_table_entry_t, 2> entries{text_entry("connection_name", ours), {}};
  entries[1].key = amqp_cstring_bytes("capabilities");
  entries[1].value.kind = AMQP_FIELD_KIND_TABLE;
  entries[1].value.value.table = {static_cast<int>(capabilities.size()), capabilities.data()};
  const amqp_table_t properties{static_cast<int>(entries.size()), entries.data()};
  auto reply = amqp_login_with_properties(state_.get(), address.vhost.c_str(), 0, largest_frame_bytes, heartbeat_s, &properties,
                                          AMQP_SASL_METHOD_PLAIN, address.user.c_str(), address.password.c_str());
  constexpr int no_such_vhost = 530;
  if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION) {
    auto [reason, code] = reason_of(reply.reply);
    if (code == access_refused || code == no_such_vhost)
      throw amqp_turned_away(where_ + ": logging in: " + reason + "; check user, password, vhost and the user's permissions");
  }
  check(reply, "logging in");
}

void amqp_link::cut() const {
  ::shutdown(cutter_.get(), SHUT_RDWR);
}

template <class F>
void amqp_link::ask(const std::string& what, F call) {
  if (!asking_) {
    amqp_channel_open(state_.get(), question_channel);
    check(amqp_get_rpc_reply(state_.get()), "opening a channel");
    asking_ = true;
  }
  call();
  auto reply = amqp_get_rpc_reply(state_.get());
  if (reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && reply.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
    asking_ = false;
    auto [reason, code] = reason_of(reply.reply);
    amqp_channel_close_ok_t closed{};
    check(amqp_send_method(state_.get(), question_channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &closed), what);
    throw amqp_denied(where_ + ": " + what + ": " + reason, code);
  }
  check(reply, what);
}

template <class F>
bool amqp_link::exists(const std::string& what, F declare) {
  try {
    ask(what, declare);
    return true;
  } catch (const amqp_denied& e) {
    if (e.code() != not_found)
      throw;
    return false;
  }
}

bool amqp_link::ensure_exchange(const std::string& name) {
  // Passive first: what others have made, with whatever arguments, is good enough, and needs no right to make it.
  auto declare = [&](amqp_boolean_t passive) {
    amqp_exchange_declare(state_.get(), question_channel, view(name), amqp_cstring_bytes("topic"), passive, 1, 0, 0,
                          amqp_empty_table);
  };
  if (exists("looking for exchange " + name, [&] { declare(1); }))
    return false;
  ask("declaring exchange " + name, [&] { declare(0); });
  return true;
}

std::string amqp_link::other_exchange(const std::string& name) {
  try {
    ask("declaring exchange " + name, [&] {
      amqp_exchange_declare(state_.get(), question_channel, view(name), amqp_cstring_bytes("topic"), 0, 1, 0, 0,
                            amqp_empty_table);
    });
  } catch (const amqp_denied& e) {
    if (e.code() == precondition_failed)
      return e.what();
  }
  return {};
}

amqp_queue_state amqp_link::ensure_queue(const std::string& name) {
  amqp_queue_state out;
  auto declare = [&](amqp_boolean_t passive) {
    const auto* said = amqp_queue_declare(state_.get(), question_channel, view(name), passive, 1, 0, 0, amqp_empty_table);
    if (said != nullptr)
      out = {said->message_count, said->consumer_count};
  };
  if (!exists("looking for queue " + name, [&] { declare(1); }))
    ask("declaring queue " + name, [&] { declare(0); });
  return out;
}

void amqp_link::bind(const std::string& queue, const std::string& exchange, const std::string& routing_key) {
  ask("binding queue " + queue + " to exchange " + exchange,
      [&] { amqp_queue_bind(state_.get(), question_channel, view(queue), view(exchange), view(routing_key), amqp_empty_table); });
}

void amqp_link::consume(const std::string& queue, uint16_t prefetch) {
  amqp_basic_qos(state_.get(), main_channel, 0, prefetch, 0);
  check(amqp_get_rpc_reply(state_.get()), "setting the prefetch");
  amqp_basic_consume(state_.get(), main_channel, view(queue), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
  check(amqp_get_rpc_reply(state_.get()), "consuming queue " + queue);
  consuming_ = true;
}

std::optional<amqp_delivery> amqp_link::next() {
  for (;;) {
    amqp_maybe_release_buffers(state_.get());
    amqp_frame_t frame{};
    timeval at_once{};
    int status = amqp_simple_wait_frame_noblock(state_.get(), &frame, &at_once);
    if (status == AMQP_STATUS_TIMEOUT)
      return std::nullopt;
    check(status, "receiving");
    if (take(frame))
      return std::exchange(coming_, {});
  }
}

bool amqp_link::take(const amqp_frame_t& frame) {
  switch (frame.frame_type) {
  case AMQP_FRAME_METHOD:
    take_method(frame.payload.method);
    return false;
  case AMQP_FRAME_HEADER:
    if (!expected_)
      return false; // of what came back
    read_properties(*static_cast<const amqp_basic_properties_t*>(frame.payload.properties.decoded), coming_);
    coming_.body_bytes = missing_ = frame.payload.properties.body_size;
    coming_.body.reserve(std::min(coming_.body_bytes, max_keyframe_bytes));
    break;
  case AMQP_FRAME_BODY: {
    if (!expected_)
      return false;
    auto part = frame.payload.body_fragment;
    const auto* bytes = static_cast<const std::byte*>(part.bytes);
    if (coming_.body_bytes <= max_keyframe_bytes)
      coming_.body.insert(coming_.body.end(), bytes, bytes + part.len);
    missing_ -= std::min<uint64_t>(missing_, part.len);
    break;
  }
  default:
    return false;
  }
  if (missing_ > 0)
    return false;
  expected_ = false;
  return true;
}

void amqp_link::take_method(const amqp_method_t& method) {
  switch (method.id) {
  case AMQP_BASIC_DELIVER_METHOD: {
    const auto& said = *static_cast<const amqp_basic_deliver_t*>(method.decoded);
    coming_ = {};
    coming_.tag = said.delivery_tag;
    coming_.redelivered = said.redelivered != 0;
    coming_.routing_key = text_of(said.routing_key);
    expected_ = true;
    return;
  }
  case AMQP_BASIC_CANCEL_METHOD:
    consuming_ = false;
    return;
  case AMQP_BASIC_RETURN_METHOD:
    returned_ = true;
    return;
  case AMQP_BASIC_ACK_METHOD:
    taken_ = true;
    return;
  case AMQP_BASIC_NACK_METHOD:
    taken_ = false;
    return;
  case AMQP_CONNECTION_BLOCKED_METHOD:
    spdlog::warn("amqp: {} makes all who publish wait: {}", where_,
                 text_of(static_cast<const amqp_connection_blocked_t*>(method.decoded)->reason));
    return;
  case AMQP_CONNECTION_UNBLOCKED_METHOD:
    spdlog::info("amqp: {} takes messages again", where_);
    return;
  case AMQP_CHANNEL_CLOSE_METHOD:
  case AMQP_CONNECTION_CLOSE_METHOD: {
    const auto [reason, code] = reason_of(method);
    throw amqp_error(where_ + ": the broker ended it: " + reason, code);
  }
  default:
    return;
  }
}

void amqp_link::acknowledge(uint64_t tag) {
  check(amqp_basic_ack(state_.get(), main_channel, tag, 0), "acknowledging");
}

void amqp_link::reject(uint64_t tag, bool requeue) {
  check(amqp_basic_reject(state_.get(), main_channel, tag, requeue ? 1 : 0), "rejecting");
}

void amqp_link::confirm_publishing() {
  amqp_confirm_select(state_.get(), main_channel);
  check(amqp_get_rpc_reply(state_.get()), "asking for confirmations");
}

bool amqp_link::publish(const std::string& exchange, const amqp_outgoing& message) {
  amqp_basic_properties_t properties{};
  properties._flags = AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG;
  properties.content_type = view(message.content_type);
  properties.delivery_mode = 2; // persistent
  if (!message.message_id.empty()) {
    properties._flags |= AMQP_BASIC_MESSAGE_ID_FLAG;
    properties.message_id = view(message.message_id);
  }
  std::vector<amqp_table_entry_t> headers;
  if (!message.session.empty())
    headers.push_back(text_entry("session", message.session));
  if (!message.group.empty())
    headers.push_back(text_entry("group", message.group));
  if (!headers.empty()) {
    properties._flags |= AMQP_BASIC_HEADERS_FLAG;
    properties.headers = {static_cast<int>(headers.size()), headers.data()};
  }
  taken_.reset();
  returned_ = false;
  constexpr amqp_boolean_t mandatory = 1; // what no queue is bound for comes back
  check(amqp_basic_publish(state_.get(), main_channel, view(exchange), view(message.routing_key), mandatory, 0, &properties,
                           view(message.body)),
        "sending");
  while (!taken_) {
    amqp_maybe_release_buffers(state_.get());
    amqp_frame_t frame{};
    timeval limit{confirmation_limit_s, 0};
    check(amqp_simple_wait_frame_noblock(state_.get(), &frame, &limit), "waiting for a confirmation");
    take(frame);
  }
  if (!*taken_)
    throw amqp_error(where_ + ": the broker did not take the message");
  return !returned_;
}

} // namespace tessera
