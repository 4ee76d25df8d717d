#include "net/sources/amqp/amqp_tls.hpp"

#include "net/base/pem_file.hpp"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>
#include <mutex>
#include <new>

namespace tessera {

namespace {

/// What the check of a certificate found, in the thread that shakes hands.
thread_local std::string certificate_fault;

int keep_fault(int good, X509_STORE_CTX* check) {
  if (good == 0 && certificate_fault.empty())
    certificate_fault = X509_verify_cert_error_string(X509_STORE_CTX_get_error(check));
  return good;
}

bool is_ip_address(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return ::inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 || ::inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

} // namespace

amqp_socket_t* make_tls_socket(amqp_connection_state_t state, const std::string& host, const amqp_tls& tls) {
#if AMQP_VERSION < AMQP_VERSION_CODE(0, 13, 0, 0) // newer ones leave it to OpenSSL, which does it by itself
  static std::once_flag once;
  std::call_once(once, [] { amqp_initialize_ssl_library(); });
#endif
  certificate_fault.clear();
  auto* socket = amqp_ssl_socket_new(state); // owned by the state
  if (socket == nullptr)
    throw std::bad_alloc();
  // Its own check of names knows no addresses, and comes after the handshake: OpenSSL's does both within.
  amqp_ssl_socket_set_verify_peer(socket, tls.insecure ? 0 : 1);
  amqp_ssl_socket_set_verify_hostname(socket, 0);
  auto* context = static_cast<SSL_CTX*>(amqp_ssl_socket_get_context(socket));
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_default_passwd_cb(context, no_password);
  if (!tls.insecure) {
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, keep_fault);
    auto* names = SSL_CTX_get0_param(context);
    X509_VERIFY_PARAM_set_hostflags(names, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    const auto set = is_ip_address(host) ? X509_VERIFY_PARAM_set1_ip_asc(names, host.c_str())
                                         : X509_VERIFY_PARAM_set1_host(names, host.c_str(), host.size());
    if (set != 1)
      throw std::bad_alloc();
    if (tls.ca_file.empty())
      SSL_CTX_set_default_verify_paths(context);
    else
      read_pem_file("amqp-ca", tls.ca_file, [&] { return SSL_CTX_load_verify_locations(context, tls.ca_file.c_str(), nullptr); });
  }
  if (!tls.certificate_file.empty()) {
    read_pem_file("amqp-cert", tls.certificate_file,
                  [&] { return SSL_CTX_use_certificate_chain_file(context, tls.certificate_file.c_str()); });
    read_pem_file("amqp-key", tls.key_file,
                  [&] { return SSL_CTX_use_PrivateKey_file(context, tls.key_file.c_str(), SSL_FILETYPE_PEM); });
  }
  return socket;
}

std::string why_tls_failed() {
  if (!certificate_fault.empty())
    return "its certificate is not believed: " + certificate_fault;
  return openssl_text();
}

} // namespace tessera
