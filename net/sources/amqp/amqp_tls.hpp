#pragma once

#include "net/sources/amqp/amqp_url.hpp"
#include "net/sources/amqp/rabbitmq_c.hpp"

#include <string>

namespace tessera {

/// Gives a connection a TLS socket, which checks the broker's certificate and its name in the handshake. Throws
/// std::runtime_error that names the file and says why, if one will not do.
amqp_socket_t* make_tls_socket(amqp_connection_state_t state, const std::string& host, const amqp_tls& tls);

/// Why the last handshake of this thread, or the last call of OpenSSL in it, failed; empty if nothing is known.
std::string why_tls_failed();

} // namespace tessera
