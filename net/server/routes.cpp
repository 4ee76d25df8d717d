#include "net/server/routes.hpp"

#include "net/server/answers.hpp"
#include "net/server/http_rules.hpp"
#include "net/server/route_table.hpp"

namespace tessera {

namespace {

using http::status;

} // namespace

uint64_t body_limit_of(const server_core& core, resource what, http::verb method) {
  const auto* row = find_route(what);
  const auto* asked = row ? find_method(*row, method) : nullptr;
  return asked && asked->body_limit ? asked->body_limit(core) : 0;
}

std::optional<http_reply> refuse_early(const server_core& core, entrance by, const request_head& head) {
  const auto& target = head.target;
  const auto method = head.header.method();
  auto granted
    = decide(by == entrance::main ? core.rules : core.metrics_rules,
             {.target = target,
              .authorization = head.field(http::field::authorization),
              .origin = head.field(http::field::origin),
              .host = head.host,
              .scheme = head.scheme,
              .fetch_site = head.field("Sec-Fetch-Site"),
              .safe_method = (method == http::verb::get || method == http::verb::head) && target.what != resource::stream,
              .forwarded = head.forwarded});
  switch (granted) {
  case access::granted:
    break;
  case access::token_missing:
  case access::token_wrong:
    return error_reply(status::unauthorized, "unauthorized",
                       granted == access::token_missing ? "a token is needed: Authorization: Bearer TOKEN, or ?token=TOKEN"
                                                        : "the token is not the right one")
      .with("WWW-Authenticate", "Bearer realm=\"tessera\"");
  case access::foreign_origin:
    return error_reply(status::forbidden, "foreign_origin",
                       "the request comes from another site's page, through a proxy, or under a name that is not this "
                       "machine's; start the service with --token or --insecure to allow that");
  }
  const auto* row = find_route(target.what);
  if (row == nullptr)
    return error_reply(status::not_found, "not_found", "there is nothing at that path");
  if (by == entrance::metrics && target.what != resource::metrics)
    return error_reply(status::not_found, "not_found", "this port has /metrics only");
  const auto* asked = find_method(*row, method);
  if (asked == nullptr) {
    const auto methods = allowed_methods(*row);
    return error_reply(status::method_not_allowed, "method_not_allowed", "this path takes " + methods).with("Allow", methods);
  }
  if (!asked->body_types[0].empty()) {
    std::string wanted;
    bool fits = false;
    for (const auto type : asked->body_types)
      if (!type.empty()) {
        fits = fits || is_content_type(head.field(http::field::content_type), type);
        wanted += (wanted.empty() ? "" : " or ") + std::string(type);
      }
    if (const auto types = head.header.count(http::field::content_type); types > 1)
      return error_reply(status::bad_request, "bad_request",
                         "there are " + std::to_string(types) + " of content-type, one can be", "Content-Type");
    if (!fits)
      return error_reply(status::unsupported_media_type, "unsupported_media_type",
                         "content-type is '" + std::string(head.field(http::field::content_type).substr(0, 100)) + "', expected "
                           + wanted,
                         "Content-Type");
    const auto codings = head.header.equal_range(http::field::content_encoding);
    for (auto each = codings.first; each != codings.second; ++each)
      if (const std::string_view coding{each->value().data(), each->value().size()};
          !coding.empty() && !equal_ignoring_case(coding, "identity"))
        return error_reply(status::unsupported_media_type, "unsupported_media_type",
                           "content-encoding is '" + std::string(coding.substr(0, 100))
                             + "', and none is understood: send the body as it is",
                           "Content-Encoding")
          .with("Accept-Encoding", "identity");
  }
  if (head.has_body && head.body_limit == 0)
    return error_reply(status::bad_request, "bad_request", "this request takes no body");
  if (head.content_length && *head.content_length > head.body_limit)
    return error_reply(status::payload_too_large, "too_large",
                       "the body has " + std::to_string(*head.content_length) + " bytes, at most "
                         + std::to_string(head.body_limit) + " can be",
                       "body");
  return std::nullopt;
}

std::optional<http_reply> answer_before_map(const server_core& core, resource what) {
  const auto* row = find_route(what);
  if (core.map_known || row == nullptr || row->before_map == nullptr)
    return std::nullopt;
  return row->before_map(core);
}

void answer(const std::shared_ptr<server_core>& core, const request_head& head, std::vector<std::byte> body,
            const return_address<strand>& back, reply_function reply) {
  if (auto early = answer_before_map(*core, head.target.what))
    return reply(std::move(*early));
  const auto* row = find_route(head.target.what);
  const auto* asked = row ? find_method(*row, head.header.method()) : nullptr;
  if (asked == nullptr || asked->answer == nullptr)
    return reply(error_reply(status::not_found, "not_found", "there is nothing at that path"));
  http_call call{core, head, std::move(body), back, std::move(reply)};
  asked->answer(call);
}

} // namespace tessera
