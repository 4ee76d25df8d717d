#pragma once

#include "net/base/shortage.hpp"
#include "net/sources/amqp/amqp_url.hpp"
#include "net/sources/shm/segment_options.hpp"
#include "net/sources/source.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace tessera {

struct amqp_options {
  /// The topic exchange, and the queue that is bound to it.
  std::string exchange = "slam3r_keyframe_exchange";
  std::string queue = "tessera";
  /// Keyframes under way at once, 1 to 512.
  uint16_t prefetch = 16;
  /// Gives refused messages back to the broker's dead letter exchange instead of acknowledging them.
  bool dead_letter = false;
  /// A broker that is silent for twice as long is taken for gone, seconds.
  uint16_t heartbeat_s = 10;
  /// For amqps://, where the address does not say it.
  amqp_tls tls;
  /// Segments must begin with this; nothing else is ever opened.
  std::string shm_prefix = "/slam3r_keyframe_";
  /// Unlinks a segment once its keyframe is safe or refused: shared memory is memory, and producers leave it to the consumer.
  bool unlink = true;
};

/// Takes keyframes from RabbitMQ: notifications of segments, and keyframes inside of messages.
///
/// A message is acknowledged only when the sink has given a verdict that stands; until then the broker keeps it, and gives it
/// again after a crash of ours, a broken connection or a stop. What cannot be taken now is tried again after a pause, without the
/// broker: for as long as it takes if something of ours is short or a segment may not be read; for some seconds if a segment is
/// missing or is being written, while others go on. Messages of one id keep their order.
///
/// While the broker is away, also at the start, it is tried again with growing pauses. Exchange, queue and bindings are looked
/// after every few seconds, and at once when the broker cancels the consumer: what is missing is made again, and what cannot be
/// made is said, by the log and by trouble(). `run` throws std::runtime_error only if the broker refuses the login or the vhost
/// at the first try, or if a file for TLS will not do. `on_shortage` hears what is wanting for something to be read.
///
/// Threads: the connection lives in the thread of `run`; a second one reads segments and offers keyframes, so that heartbeats go
/// on while the sink gives no credit; each attempt to connect has another, which a stop leaves behind.
std::unique_ptr<source> make_amqp_source(const std::string& url, const amqp_options& options, const segment_options& segments,
                                         shortage_listener on_shortage);

} // namespace tessera
