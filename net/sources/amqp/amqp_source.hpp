#pragma once

#include "net/sources/source.hpp"

namespace tessera {

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
/// at the first try, or if a file for TLS will not do.
///
/// Threads: the connection lives in the thread of `run`; a second one reads segments and offers keyframes, so that heartbeats go
/// on while the sink gives no credit; each attempt to connect has another, which a stop leaves behind.
std::unique_ptr<source> make_amqp_source(const std::string& url, const source_options& options);

} // namespace tessera
