#pragma once

#include "net/server/asio_types.hpp"

#include <boost/optional.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace tessera {

/// Bytes that somebody owns: sent without a copy.
struct shared_bytes {
  std::shared_ptr<const void> owner;
  std::span<const std::byte> data;

  shared_bytes() = default;
  /// Of static memory.
  explicit shared_bytes(std::span<const std::byte> bytes) : data{bytes} {}
  shared_bytes(std::shared_ptr<const void> owner_, std::span<const std::byte> bytes) : owner{std::move(owner_)}, data{bytes} {}
  explicit shared_bytes(std::string text) {
    auto kept = std::make_shared<const std::string>(std::move(text));
    data = std::as_bytes(std::span{kept->data(), kept->size()});
    owner = std::move(kept);
  }
};

/// A Beast body of shared bytes; for answers only.
struct bytes_body {
  using value_type = shared_bytes;
  static uint64_t size(const value_type& body) { return body.data.size(); }

  class writer {
  public:
    using const_buffers_type = asio::const_buffer;
    template <bool IsRequest, class Fields>
    writer(const http::header<IsRequest, Fields>&, const value_type& body) : body_{body} {}
    void init(error_code& failed) { failed = {}; }
    boost::optional<std::pair<const_buffers_type, bool>> get(error_code& failed) {
      failed = {};
      return {{const_buffers_type{body_.data.data(), body_.data.size()}, false}};
    }

  private:
    const value_type& body_;
  };
};

} // namespace tessera
