#pragma once

#include "net/sources/amqp_url.hpp"

#include <amqp.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace tessera {

/// What the broker or the way to it would not do. The link is of no use afterwards.
class amqp_error : public std::runtime_error {
public:
  amqp_error(const std::string& what, int code) : std::runtime_error(what), code_(code) {}
  /// The broker's reply code (403: access refused, 404: not found, 530: no such vhost), or 0.
  [[nodiscard]] int code() const { return code_; }

private:
  int code_;
};

/// One message from the broker.
struct amqp_delivery {
  uint64_t tag = 0;
  bool redelivered = false;
  std::string routing_key, content_type, message_id;
  std::vector<std::byte> body;
};

/// One connection to a broker with one channel, through rabbitmq-c. Every function throws amqp_error, that
/// is: connect again.
///
/// Threads: one.
class amqp_link {
public:
  /// Connects and logs in, within a few seconds.
  amqp_link(const amqp_address& address, uint16_t heartbeat_s);

  /// The socket, to wait on; only after next() returned nothing.
  [[nodiscard]] int socket() const { return amqp_get_sockfd(state_.get()); }
  /// Takes the topic exchange as it is, or makes it, durable.
  void ensure_exchange(const std::string& name);
  /// Takes the queue as it is, or makes it, durable.
  void ensure_queue(const std::string& name);
  [[nodiscard]] bool queue_exists(const std::string& name);
  void bind(const std::string& queue, const std::string& exchange, const std::string& routing_key);
  /// Starts deliveries: at most `prefetch` unacknowledged at once.
  void consume(const std::string& queue, uint16_t prefetch);
  /// A message that is there; does not wait for the first byte of one. Also does what heartbeats need: call
  /// it several times in one heartbeat.
  std::optional<amqp_delivery> next();
  void acknowledge(uint64_t tag);
  /// Back to the queue, or to the queue's dead letter exchange.
  void reject(uint64_t tag, bool requeue);

private:
  struct closer {
    void operator()(amqp_connection_state_t state) const;
  };

  void check(int status, const std::string& what) const;
  void check(const amqp_rpc_reply_t& reply, const std::string& what) const;
  void open_channel();
  /// Runs a passive declaration; false if the broker says that there is no such thing (the channel is open
  /// again then).
  template <class F>
  bool exists(F declare, const std::string& what);
  void take_other_frame();

  std::string where_;
  std::unique_ptr<std::remove_pointer_t<amqp_connection_state_t>, closer> state_;
};

} // namespace tessera
