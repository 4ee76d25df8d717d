#pragma once

#include "net/base/descriptor.hpp"
#include "net/sources/amqp/amqp_url.hpp"
#include "net/sources/amqp/rabbitmq_c.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// What the broker or the way to it would not do. The link is of no use afterwards, unless it is an amqp_denied.
class amqp_error : public std::runtime_error {
public:
  explicit amqp_error(const std::string& what, int code = 0) : std::runtime_error(what), code_(code) {}
  /// What the broker calls it; 0: it said nothing. 403: access refused, 404: not found, 405: locked by another connection, 406:
  /// there with other properties.
  [[nodiscard]] int code() const { return code_; }

private:
  int code_;
};

/// We may not in: user, password, vhost, or a file of ours for TLS. It would be the same again.
class amqp_turned_away : public amqp_error {
public:
  using amqp_error::amqp_error;
};

/// The broker would not do one thing with an exchange or a queue. The link goes on, and so do its deliveries.
class amqp_denied : public amqp_error {
public:
  using amqp_error::amqp_error;
};

/// Whether the broker would do the same again, until somebody changes something there.
bool is_lasting(const amqp_error& error);

/// By which a queue is bound. A topic exchange needs the first only; with the others a direct exchange, which a deployment may
/// have, gives us all as well.
inline constexpr std::array keyframe_routing_keys{"keyframe.*", "keyframe.new", "keyframe.revise", "keyframe.retract"};

/// A text among the headers of a message; one of another type has no text.
struct amqp_text_header {
  std::string name;
  std::optional<std::string> text;
};

/// One message from the broker.
struct amqp_delivery {
  uint64_t tag = 0;
  bool redelivered = false;
  std::string routing_key, content_type, content_encoding, message_id;
  std::vector<amqp_text_header> headers;
  std::vector<std::byte> body;
  /// Of the body as it was sent: what is larger than any keyframe is not kept.
  uint64_t body_bytes = 0;
};

/// What a queue has.
struct amqp_queue_state {
  uint32_t messages = 0;  ///< to be delivered
  uint32_t consumers = 0; ///< of any connection
};

/// One message to the broker.
struct amqp_outgoing {
  std::string routing_key = {}, content_type = {}, message_id = {}, session = {}, group = {}, body = {};
};

/// One connection to a broker, through rabbitmq-c. Deliveries and what is published have a channel of their own, and what is
/// asked of exchanges and queues another, which the broker closes when it denies something. Functions throw amqp_error.
///
/// Threads: one; but for cut().
class amqp_link {
public:
  /// Connects and logs in: within some ten seconds each, and longer if a name is looked up. `heartbeat_s` may be 0: none. Throws
  /// shortage_error, too.
  amqp_link(const amqp_address& address, uint16_t heartbeat_s);

  /// Breaks the connection: whatever call is blocked on it ends with an error, soon. Threads: any.
  void cut() const;

  /// The socket, to wait on; only after next() returned nothing.
  [[nodiscard]] int socket() const { return amqp_get_sockfd(state_.get()); }

  // What is asked of exchanges and queues; throws amqp_denied.

  /// Takes the exchange as it is, or makes it: a durable topic exchange. Returns whether it was made.
  bool ensure_exchange(const std::string& name);
  /// Why the exchange is not a durable topic exchange, in the broker's words; empty if it is, or if we may not know.
  [[nodiscard]] std::string other_exchange(const std::string& name);
  /// Takes the queue as it is, or makes it, durable. Returns what it has.
  amqp_queue_state ensure_queue(const std::string& name);
  void bind(const std::string& queue, const std::string& exchange, const std::string& routing_key);

  // Taking messages.

  /// Starts deliveries: at most `prefetch` unacknowledged at once.
  void consume(const std::string& queue, uint16_t prefetch);
  /// Whether deliveries come: consume() was called, and the broker did not cancel it since, because the queue is gone.
  [[nodiscard]] bool consuming() const { return consuming_; }
  /// A message that is there; never waits. Also does what heartbeats need: call it several times in one heartbeat.
  std::optional<amqp_delivery> next();
  void acknowledge(uint64_t tag);
  /// Back to the queue, or to the queue's dead letter exchange.
  void reject(uint64_t tag, bool requeue);

  // Giving messages.

  /// Has the broker confirm what is published from now on.
  void confirm_publishing();
  /// Publishes a message that outlives the broker's restart, and returns when the broker has it in a queue; false if it found no
  /// queue bound to the exchange.
  [[nodiscard]] bool publish(const std::string& exchange, const amqp_outgoing& message);

private:
  struct closer {
    void operator()(amqp_connection_state_t state) const;
  };

  void check(int status, const std::string& what) const;
  void check(const amqp_rpc_reply_t& reply, const std::string& what) const;
  void log_in(const amqp_address& address, uint16_t heartbeat_s);
  /// Asks something on the channel for that, and looks at the answer.
  template <class F>
  void ask(const std::string& what, F call);
  /// Runs a passive declaration; false if the broker says that there is no such thing.
  template <class F>
  bool exists(const std::string& what, F declare);
  /// Takes a frame; true if a delivery is whole with it.
  bool take(const amqp_frame_t& frame);
  void take_method(const amqp_method_t& method);

  std::string where_;
  std::unique_ptr<std::remove_pointer_t<amqp_connection_state_t>, closer> state_;
  descriptor cutter_;   ///< the socket once more, so that it cannot be another one by the time that cut() is called
  bool asking_ = false; ///< the channel for questions is open
  bool consuming_ = false;
  amqp_delivery coming_;      ///< a delivery of which not all has come yet
  bool expected_ = false;     ///< ... its header is next, or parts of its body
  uint64_t missing_ = 0;      ///< ... bytes of its body
  bool returned_ = false;     ///< what was published came back
  std::optional<bool> taken_; ///< the broker's word on what was published
};

} // namespace tessera
