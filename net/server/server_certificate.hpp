#pragma once

#include <boost/asio/ssl/context.hpp>

#include <memory>
#include <mutex>
#include <optional>
#include <string>

namespace tessera {

/// The certificate by which the server shows who it is, with its key, as two files have them. Threads: any.
class server_certificate {
public:
  /// Reads the files: PEM; the certificate first, then those that lead to its authority; the key without a password. Throws
  /// std::runtime_error that names the setting and the file, and says why it cannot be used.
  server_certificate(std::string certificate_file, std::string key_file);

  /// Reads them again, for connections that come from now on. Throws as the constructor does: then the old ones stay in use.
  void read_again();

  /// What the next connection is to use: TLS 1.2 or newer, for HTTP/1.1.
  [[nodiscard]] std::shared_ptr<boost::asio::ssl::context> context() const;

  /// That it is not valid now, which clients refuse; nothing if it is.
  [[nodiscard]] std::optional<std::string> why_not_valid() const;

  /// For the log: the file, the serial number, and until when it is valid.
  [[nodiscard]] std::string describe() const;

private:
  const std::string certificate_file_, key_file_;
  mutable std::mutex mutex_;
  std::shared_ptr<boost::asio::ssl::context> context_;
};

} // namespace tessera
