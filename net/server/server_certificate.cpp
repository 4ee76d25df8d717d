#include "net/server/server_certificate.hpp"

#include "net/base/pem_file.hpp"

#include <openssl/bio.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <new>
#include <utility>

namespace tessera {

namespace {

namespace ssl = boost::asio::ssl;

/// Of what a client offers (ALPN) we speak HTTP/1.1 alone; who offers nothing is not asked.
int choose_protocol(SSL*, const unsigned char** chosen, unsigned char* length, const unsigned char* offered,
                    unsigned offered_size, void*) {
  static constexpr unsigned char ours[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* found = nullptr;
  if (SSL_select_next_proto(&found, length, ours, sizeof ours, offered, offered_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

std::shared_ptr<ssl::context> read_files(const std::string& certificate, const std::string& key) {
  auto made = std::make_shared<ssl::context>(ssl::context::tls_server);
  auto* const context = made->native_handle();
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF); // clients keep what lets them come again sooner
  SSL_CTX_set_default_passwd_cb(context, no_password);
  SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
  read_pem_file("tls-cert", certificate, [&] { return SSL_CTX_use_certificate_chain_file(context, certificate.c_str()); });
  read_pem_file("tls-key", key, [&] {
    const auto good = SSL_CTX_use_PrivateKey_file(context, key.c_str(), SSL_FILETYPE_PEM);
    return good == 1 ? SSL_CTX_check_private_key(context) : good; // one of another kind than the certificate's is taken at first
  });
  return made;
}

/// Text that `write` writes into a BIO.
template <class F>
std::string written(F write) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> into{BIO_new(BIO_s_mem()), &BIO_free};
  if (!into)
    throw std::bad_alloc();
  write(into.get());
  char* text = nullptr;
  const auto length = BIO_get_mem_data(into.get(), &text);
  return {text, static_cast<size_t>(length)};
}

} // namespace

server_certificate::server_certificate(std::string certificate_file, std::string key_file)
  : certificate_file_{std::move(certificate_file)}, key_file_{std::move(key_file)} {
  read_again();
}

void server_certificate::read_again() {
  auto made = read_files(certificate_file_, key_file_);
  const std::lock_guard lock{mutex_};
  context_.swap(made);
}

std::shared_ptr<ssl::context> server_certificate::context() const {
  const std::lock_guard lock{mutex_};
  return context_;
}

std::optional<std::string> server_certificate::why_not_valid() const {
  const auto of = context();
  const auto* const shown = SSL_CTX_get0_certificate(of->native_handle());
  const auto* why = X509_cmp_current_time(X509_get0_notAfter(shown)) < 0    ? "is valid no more: browsers refuse it"
                    : X509_cmp_current_time(X509_get0_notBefore(shown)) > 0 ? "is not valid yet: browsers refuse it"
                                                                            : nullptr;
  return why == nullptr ? std::nullopt : std::optional{certificate_file_ + " " + why};
}

std::string server_certificate::describe() const {
  const auto of = context();
  const auto* const shown = SSL_CTX_get0_certificate(of->native_handle());
  return "certificate " + certificate_file_ + ", serial number "
         + written([&](BIO* into) { i2a_ASN1_INTEGER(into, X509_get0_serialNumber(shown)); }) + ", valid until "
         + written([&](BIO* into) { ASN1_TIME_print(into, X509_get0_notAfter(shown)); });
}

} // namespace tessera
