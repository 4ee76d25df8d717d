#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace tessera {

/// How a broker is believed over TLS, and how we show who we are. Files are PEM.
struct amqp_tls {
  /// Certificates of the authorities that are trusted; empty: the system's.
  std::string ca_file = {};
  /// Our own certificate and its key, for brokers that ask for one; both or neither.
  std::string certificate_file = {}, key_file = {};
  /// Takes whatever broker answers, whoever it is.
  bool insecure = false;
};

/// Where a broker is and who we are there.
struct amqp_address {
  std::string host;
  uint16_t port = 5672;
  std::string user = "guest", password = "guest";
  std::string vhost = "/";
  /// Given for amqps://.
  std::optional<amqp_tls> tls;
  /// Seconds, if the address says so.
  std::optional<uint16_t> heartbeat_s;
  /// The address for people: without the password.
  [[nodiscard]] std::string shown() const;
};

/// Tells whether this is a broker's address: amqp:// or amqps://.
bool is_amqp_url(const std::string& url);

/// Reads `amqp://USER:PASSWORD@HOST:PORT/VHOST` or, for TLS, the same with `amqps://`; all but the host may be missing.
/// Percent-encoded bytes are decoded, a missing or empty vhost is `/`. After a `?` may follow, separated by `&`, what other
/// clients write there, too: `cacertfile` (or `cafile`), `certfile`, `keyfile`, `verify` (`verify_peer` or `verify_none`),
/// `heartbeat`; they win over `tls`. Throws std::invalid_argument, whose text never holds the password.
amqp_address parse_amqp_url(const std::string& url, const amqp_tls& tls = {});

} // namespace tessera
