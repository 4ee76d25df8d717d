#include "net/server/http_reply.hpp"

#include "net/formats/json_text.hpp"

namespace tessera {

http_reply text_reply(http::status status, std::string text) {
  http_reply out;
  out.status = status;
  out.content_type = "text/plain; charset=utf-8";
  out.body = shared_bytes{std::move(text)};
  return out.with("Cache-Control", "no-store");
}

http_reply json_reply(std::string text, http::status status) {
  http_reply out;
  out.status = status;
  out.content_type = "application/json";
  out.body = shared_bytes{std::move(text) + '\n'};
  return out.with("Cache-Control", "no-store");
}

http_reply error_reply(http::status status, std::string_view code, std::string_view reason, std::string_view field) {
  nlohmann::json out{{"error", code}, {"reason", reason}};
  if (!field.empty())
    out["field"] = field;
  auto reply = json_reply(to_text(out), status);
  if (status == http::status::service_unavailable)
    reply.with("Retry-After", "1");
  return reply;
}

} // namespace tessera
