#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <string>

namespace tessera {

/// Where a service answers that listens on `bind` and `port`, with TLS or without, for a program on the same machine: the
/// loopback address if it listens on all addresses.
std::string health_url(const std::string& bind, uint16_t port, bool tls);

/// Asks a running service whether it is well, for HEALTHCHECK and the like: GET `url`, which is http://HOST:PORT or
/// https://HOST:PORT with or without a path (default /healthz). Nothing secret is sent, so that any certificate will do. Answers
/// 0 and writes one line to `out` if the status is 200, else 1 with what it was. Throws std::invalid_argument if `url` is none,
/// std::runtime_error if there is no answer within `limit`.
int health_command(const std::string& url, std::chrono::milliseconds limit, std::ostream& out);

} // namespace tessera
