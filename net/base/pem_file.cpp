#include "net/base/pem_file.hpp"

#include "net/base/shortage.hpp"

#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <openssl/x509err.h>

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <system_error>

namespace tessera {

namespace {

/// Why OpenSSL did not take what is in a file.
std::string why_not() {
  const auto code = ERR_peek_last_error();
  const auto is = [code](int library, int reason) { return ERR_GET_LIB(code) == library && ERR_GET_REASON(code) == reason; };
  if (is(ERR_LIB_X509, X509_R_KEY_VALUES_MISMATCH) || is(ERR_LIB_X509, X509_R_KEY_TYPE_MISMATCH)
      || is(ERR_LIB_SSL, SSL_R_NO_CERTIFICATE_ASSIGNED)) // it looks for a certificate of the key's kind
    return "it is the key of another certificate";
  const auto text = openssl_text();
  return text.empty() ? "it holds nothing of the kind" : text + "; it must be PEM, and a key without a password";
}

} // namespace

void read_pem_file(const char* setting, const std::string& file, const std::function<int()>& load) {
  const auto named = std::string(setting) + " " + file + " cannot be used";
  // Whoever reads a pipe waits for its writer, and holds up what else is to be done.
  struct stat its {};
  if (::stat(file.c_str(), &its) == 0 && !S_ISREG(its.st_mode))
    throw std::runtime_error(named + ": it is no regular file");
  // OpenSSL's own words for a missing one are about its insides.
  if (const std::unique_ptr<std::FILE, int (*)(std::FILE*)> probe(std::fopen(file.c_str(), "re"), &std::fclose); !probe) {
    const auto error = errno;
    if (is_shortage(error))
      throw_not_now(named, error);
    throw std::runtime_error(named + ": " + std::generic_category().message(error));
  }
  ERR_clear_error();
  errno = 0;
  if (load() == 1)
    return;
  if (const auto error = errno; is_shortage(error)) // another thread took the last descriptor
    throw_not_now(named, error);
  const auto why = why_not();
  ERR_clear_error();
  throw std::runtime_error(named + ": " + why);
}

std::string openssl_text() {
  const auto code = ERR_peek_last_error();
  const char* text = code == 0 ? nullptr : ERR_reason_error_string(code);
  return text == nullptr ? std::string{} : text;
}

int no_password(char*, int, int, void*) {
  return 0;
}

} // namespace tessera
