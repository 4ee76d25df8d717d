#pragma once

#include "net/server/bytes_body.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tessera {

/// An answer to a request; the session adds what every answer has.
struct http_reply {
  http::status status = http::status::ok;
  std::string content_type;
  shared_bytes body;
  std::vector<std::pair<std::string, std::string>> headers;
  /// Where it is set, and true, others wait for the memory that the body takes: who reads it too slowly ends then.
  std::shared_ptr<const std::atomic<bool>> wanted;

  http_reply& with(std::string name, std::string value) & {
    headers.emplace_back(std::move(name), std::move(value));
    return *this;
  }
  http_reply&& with(std::string name, std::string value) && {
    headers.emplace_back(std::move(name), std::move(value));
    return std::move(*this);
  }
};

/// Takes the answer to one request, from any thread; to be called once.
using reply_function = std::function<void(http_reply)>;

http_reply text_reply(http::status status, std::string text);

/// JSON; `text` is serialised already.
http_reply json_reply(std::string text, http::status status = http::status::ok);

/// `{"error": code, "field": ..., "reason": ...}`; no field if it is empty.
http_reply error_reply(http::status status, std::string_view code, std::string_view reason, std::string_view field = {});

} // namespace tessera
