#pragma once

#include "net/sources/source.hpp"

namespace tessera {

/// Takes keyframes from RabbitMQ: notifications of segments, and keyframes inside of messages.
///
/// A message is acknowledged only when the sink has given its verdict; until then the broker keeps it, and
/// gives it again after a crash of ours, a broken connection or a stop. While the broker is away, also at the
/// start, it is tried again with growing pauses. `run` throws std::runtime_error only if the broker refuses
/// the login or the vhost at the first try.
///
/// Threads: the connection lives in the thread of `run`; a second one reads segments and offers keyframes, so
/// that heartbeats go on while the sink gives no credit.
std::unique_ptr<source> make_amqp_source(const std::string& url, const source_options& options);

} // namespace tessera
