#pragma once

#include <cstdint>
#include <string>

namespace tessera {

/// Where a broker is and who we are there.
struct amqp_address {
  std::string host;
  uint16_t port = 5672;
  std::string user = "guest", password = "guest";
  std::string vhost = "/";
  /// The address for people: without the password.
  [[nodiscard]] std::string shown() const;
  /// The whole address as a URL that every client reads alike: nothing left out, all special bytes encoded.
  /// Holds the password.
  [[nodiscard]] std::string encoded() const;
};

/// Reads `amqp://USER:PASSWORD@HOST:PORT/VHOST`; all but the host may be missing. Percent-encoded bytes are
/// decoded, a missing or empty vhost is `/`. Throws std::invalid_argument, whose text never holds the
/// password.
amqp_address parse_amqp_url(const std::string& url);

} // namespace tessera
