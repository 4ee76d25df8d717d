#include "net/sinks/routes.hpp"

#include "messages/json_depth.hpp"
#include "messages/names.hpp"
#include "net/sinks/assets.hpp"
#include "net/sinks/before_map.hpp"
#include "net/sinks/http_rules.hpp"
#include "net/sinks/json_status.hpp"
#include "net/sinks/json_text.hpp"
#include "net/sinks/patch_codec.hpp"
#include "net/sinks/readiness.hpp"

#include <nlohmann/json.hpp>

#include <charconv>
#include <cmath>
#include <limits>

namespace tessera {

namespace {

using http::status;

constexpr std::string_view keyframe_type = "application/vnd.tessera.keyframe", json_type = "application/json";
// What waits for a slot blocks nobody, but holds a body each.
constexpr int max_waiting_offers = 64;
// Sixteen numbers, however they are written, and a few words.
constexpr uint64_t max_pose_bytes = 8 << 10;

struct allowed {
  std::array<http::verb, 2> verbs;
  const char* text;
};

allowed methods_of(resource what) {
  switch (what) {
  case resource::keyframes:
    return {{http::verb::post, http::verb::delete_}, "POST, DELETE"};
  case resource::keyframe:
    return {{http::verb::delete_, http::verb::delete_}, "DELETE"};
  case resource::keyframe_pose:
    return {{http::verb::put, http::verb::put}, "PUT"};
  case resource::stream:
    return {{http::verb::get, http::verb::get}, "GET"};
  default:
    return {{http::verb::get, http::verb::head}, "GET, HEAD"};
  }
}

bool is_type(std::string_view given, std::string_view wanted) {
  given = given.substr(0, given.find(';'));
  while (given.ends_with(' '))
    given.remove_suffix(1);
  return beast::iequals({given.data(), given.size()}, {wanted.data(), wanted.size()});
}

// Either spelling of the headers that go with a keyframe.
std::string_view keyframe_field(const request_head& head, const char* name) {
  auto value = head.field((std::string("X-") + name).c_str());
  return value.empty() ? head.field((std::string("Tessera-") + name).c_str()) : value;
}

http_reply unavailable(std::string_view whom, const std::string& why) {
  return error_reply(status::service_unavailable, "unavailable", std::string(whom) + " did not answer: " + why);
}

http_reply verdict_reply(const verdict& v) {
  switch (v.what) {
  case outcome::accepted:
  case outcome::duplicate:
  case outcome::dropped:
    return json_reply(to_text({{"outcome", to_string(v.what)}}));
  case outcome::unknown:
    return error_reply(status::not_found, "unknown", "there is no live keyframe of that id", "id");
  case outcome::not_now:
    return error_reply(status::service_unavailable, "not_now", v.reason);
  case outcome::conflict:
    return error_reply(status::conflict, "conflict", v.reason, "id");
  case outcome::refused:
    break;
  }
  return error_reply(status::unprocessable_entity, "refused", v.reason);
}

http_reply metrics_reply(const server_core& core) {
  http_reply out;
  out.content_type = "text/plain; version=0.0.4; charset=utf-8";
  out.body = shared_bytes{core.numbers.text()};
  return std::move(out).with("Cache-Control", "no-store");
}

http_reply not_now(const server_core& core, hindered by) {
  return verdict_reply(core.running.context.numbers->count_not_now(std::move(by)));
}

http_reply asset_reply(const request_head& head) {
  // The page's own links are relative to it: only without the slash do they lead where they should.
  if (head.target.path == "/console/") {
    const auto whole = std::string(head.header.target().data(), head.header.target().size());
    const auto query = whole.find('?');
    return text_reply(status::permanent_redirect, "")
      .with("Location", "../console" + (query == whole.npos ? "" : whole.substr(query)));
  }
  const auto* file = find_asset(head.target.path);
  if (file == nullptr)
    return error_reply(status::not_found, "not_found", "there is no such page");
  http_reply out;
  out.content_type = file->content_type;
  out.with("ETag", file->etag).with("Vary", "Accept-Encoding");
  out.with("Cache-Control", file->immutable ? "public, max-age=31536000, immutable" : "no-cache");
  if (file->content_type.starts_with("text/html"))
    out
      .with("Content-Security-Policy", "default-src 'self'; script-src 'self' blob: 'wasm-unsafe-eval'; "
                                       "worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
                                       "img-src 'self' data: blob:; connect-src 'self' ws: wss: http: "
                                       "https: data: blob:; object-src 'none'; base-uri 'none'; "
                                       "frame-ancestors 'none'")
      .with("Referrer-Policy", "no-referrer");
  auto packed = !file->gzip.empty() && head.field(http::field::accept_encoding).find("gzip") != std::string_view::npos;
  if (packed)
    out.with("Content-Encoding", "gzip");
  out.body = shared_bytes{packed ? file->gzip : file->plain};
  return out;
}

template <class Answer, class Handle, class Write, class... Ts>
void ask_and_write(const std::shared_ptr<server_core>& core, const return_address<strand>& back, const char* name,
                   const Handle& whom, reply_function reply, Write write, Ts... message) {
  ask<Answer>(
    core->system, back, core->config.timeouts.ask, whom,
    [=, reply = std::move(reply)](std::optional<Answer> answer, const std::string& why) {
      reply(answer ? write(std::move(*answer)) : unavailable(name, why));
    },
    message...);
}

void answer_region(const std::shared_ptr<server_core>& core, region_key region, const return_address<strand>& back,
                   reply_function reply) {
  ask_and_write<patch>(
    core, back, "the broadcaster", core->running.broadcaster.get(), std::move(reply),
    [epoch = core->running.epoch](const patch& newest) {
      auto payload = newest.frame ? patch_payload(*newest.frame) : std::span<const std::byte>{};
      if (payload.empty())
        return error_reply(status::not_found, "not_found", "that region has no surface", "region");
      http_reply out;
      out.content_type = content_type(mesh_format::drc);
      out.body = shared_bytes{newest.frame, payload};
      return std::move(out)
        .with("ETag", '"' + epoch + '-' + std::to_string(newest.version) + '"')
        .with("Cache-Control", "no-cache")
        .with("Tessera-Version", std::to_string(newest.version));
    },
    patch_atom::value, region);
}

std::optional<pose> read_pose(const std::vector<std::byte>& body, std::string& why) {
  std::string_view text{reinterpret_cast<const char*>(body.data()), body.size()};
  auto in
    = nests_deeper(text, 4) ? nlohmann::json(nlohmann::json::value_t::discarded) : nlohmann::json::parse(text, nullptr, false);
  if (in.is_discarded()) {
    why = "the body is not JSON";
    return std::nullopt;
  }
  auto list = in.is_object() && in.contains("pose") ? in["pose"] : in;
  pose out;
  if (!list.is_array() || list.size() != out.m.size()) {
    why = "pose is not a list of 16 numbers";
    return std::nullopt;
  }
  for (size_t i = 0; i < out.m.size(); ++i) {
    auto x = list[i].is_number() ? list[i].get<double>() : NAN;
    if (!(std::abs(x) <= static_cast<double>(std::numeric_limits<float>::max()))) {
      why = "pose[" + std::to_string(i) + "] is not a finite number";
      return std::nullopt;
    }
    out.m[i] = static_cast<float>(x);
  }
  return out;
}

// One of the places in front of the thread that offers; given back when it goes, also if nothing could be posted there.
class offer_place {
public:
  explicit offer_place(const std::shared_ptr<server_core>& core)
    : core_{core}, is_there_{core->waiting_offers.fetch_add(1) < max_waiting_offers} {}
  offer_place(offer_place&&) = default;
  offer_place& operator=(offer_place&&) = delete;
  ~offer_place() {
    if (core_)
      core_->waiting_offers.fetch_sub(1);
  }
  explicit operator bool() const { return is_there_; }

private:
  std::shared_ptr<server_core> core_;
  bool is_there_;
};

// Calls the sink from the thread that may block. `act` gets the completion to hand on.
template <class F>
void offer(const std::shared_ptr<server_core>& core, const return_address<strand>& back, reply_function reply, F act) {
  if (core->stopping)
    return reply(error_reply(status::service_unavailable, "closing", "the service is shutting down"));
  offer_place place{core};
  if (!place)
    return reply(
      error_reply(status::service_unavailable, "busy", "more keyframes wait than can be taken now; send this one again"));
  asio::post(core->offers, [core, place = std::move(place), back, reply = std::move(reply), act = std::move(act)]() mutable {
    auto respond = [back, reply = std::move(reply)](http_reply out) {
      back.post([reply, out = std::move(out)]() mutable { reply(std::move(out)); });
    };
    try {
      if (core->stopping)
        respond(error_reply(status::service_unavailable, "closing", "the service is shutting down"));
      else
        act(respond, [respond](const verdict& v) { respond(verdict_reply(v)); });
    } catch (const std::bad_alloc&) {
      respond(not_now(*core, {hindrance::memory, "the process has no memory for this request"}));
    } catch (const std::exception& e) {
      respond(not_now(*core, {hindrance::internal, e.what()}));
    }
  });
}

void answer_keyframe(const std::shared_ptr<server_core>& core, const request_head& head, std::vector<std::byte> body,
                     const return_address<strand>& back, reply_function reply) {
  auto id = percent_decoded(keyframe_field(head, "Keyframe-Id"));
  if (!id || id->empty() || id->size() > keyframe_id::max_bytes)
    return reply(error_reply(status::bad_request, "bad_request",
                             !id           ? "the keyframe's id has a broken escape: %XX"
                             : id->empty() ? "the keyframe has no id"
                                           : "the keyframe's id has " + std::to_string(id->size()) + " bytes, at most "
                                               + std::to_string(keyframe_id::max_bytes) + " can be",
                             "X-Keyframe-Id"));
  auto stamp = keyframe_field(head, "Timestamp-Ns");
  uint64_t timestamp_ns = 0;
  if (!stamp.empty()) {
    auto [end, failed] = std::from_chars(stamp.data(), stamp.data() + stamp.size(), timestamp_ns);
    if (failed != std::errc{} || end != stamp.data() + stamp.size())
      return reply(
        error_reply(status::bad_request, "bad_request", "the timestamp is not a whole number of nanoseconds", "X-Timestamp-Ns"));
  }
  const auto session = percent_decoded(keyframe_field(head, "Session")), group = percent_decoded(keyframe_field(head, "Group"));
  if (auto fault = session ? fault_of_session(*session) : std::optional<std::string>{"session has a broken escape: %XX"})
    return reply(error_reply(status::bad_request, "bad_request", *fault, "Tessera-Session"));
  if (auto fault = group ? fault_of_group(*group) : std::optional<std::string>{"group has a broken escape: %XX"})
    return reply(error_reply(status::bad_request, "bad_request", *fault, "Tessera-Group"));
  offer(core, back, std::move(reply),
        [core, id = std::move(*id), session = *session, group = *group, timestamp_ns,
         body = std::move(body)](const auto& respond, keyframe_sink::completion done) mutable {
          keyframe frame;
          try {
            if (!core->config.parse_keyframe)
              throw std::invalid_argument("this service takes no keyframes over HTTP");
            frame = core->config.parse_keyframe(id, timestamp_ns, std::move(body));
          } catch (const std::bad_alloc&) {
            throw;
          } catch (const std::exception& e) {
            core->sink.set_aside("http", shown({id, session}), e.what());
            return respond(error_reply(status::bad_request, "bad_keyframe", e.what()));
          }
          frame.id.session = std::move(session);
          frame.source = "http";
          frame.group = std::move(group);
          core->sink.offer(std::move(frame), std::move(done));
        });
}

http_reply bad_query(std::string_view why, std::string_view field) {
  return error_reply(status::bad_request, "bad_request", why, field);
}

// Takes out all keyframes that the query means.
void answer_clearing(const std::shared_ptr<server_core>& core, const request_head& head, const return_address<strand>& back,
                     reply_function reply) {
  std::string why, field;
  auto which = read_selection(head.target.query, {"session", "source", "group"}, why, field);
  if (!which)
    return reply(bad_query(why, field));
  offer(core, back, std::move(reply), [core, which = std::move(*which)](const auto& respond, const auto&) mutable {
    core->sink.retract_all(std::move(which), [respond](const verdict& v) {
      respond(v.what == outcome::accepted ? json_reply(to_text({{"outcome", to_string(v.what)}, {"keyframes", v.keyframes}}))
                                          : verdict_reply(v));
    });
  });
}

// Takes out or moves the keyframe that the path names.
void answer_change(const std::shared_ptr<server_core>& core, const request_head& head, const std::vector<std::byte>& body,
                   const return_address<strand>& back, reply_function reply) {
  std::string why, field;
  auto which = read_selection(head.target.query, {"session"}, why, field);
  if (!which)
    return reply(bad_query(why, field));
  const keyframe_id id{head.target.id, which->session.value_or("")};
  if (head.target.what == resource::keyframe)
    return offer(core, back, std::move(reply),
                 [core, id](const auto&, keyframe_sink::completion done) { core->sink.retract(id, std::move(done)); });
  const auto wanted = read_pose(body, why);
  if (!wanted)
    return reply(error_reply(status::bad_request, "bad_request", why, "pose"));
  offer(core, back, std::move(reply),
        [core, id, to = *wanted](const auto&, keyframe_sink::completion done) { core->sink.revise(id, to, std::move(done)); });
}

} // namespace

uint64_t body_limit_of(const server_core& core, resource what, http::verb method) {
  if (method == http::verb::delete_)
    return 0;
  switch (what) {
  case resource::keyframes:
    return core.config.body_limit;
  case resource::keyframe_pose:
    return max_pose_bytes;
  default:
    return 0;
  }
}

std::optional<http_reply> refuse_early(const server_core& core, entrance by, const request_head& head) {
  const auto& target = head.target;
  const auto method = head.header.method();
  auto granted
    = decide(by == entrance::main ? core.rules : core.metrics_rules,
             {.target = target,
              .authorization = head.field(http::field::authorization),
              .origin = head.field(http::field::origin),
              .host = head.field(http::field::host),
              .fetch_site = head.field("Sec-Fetch-Site"),
              .safe_method = (method == http::verb::get || method == http::verb::head) && target.what != resource::stream});
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
                       "the request comes from another site's page, or under a name that is not this "
                       "machine's; start the service with "
                       "--token or --insecure to allow that");
  }
  if (target.what == resource::nothing)
    return error_reply(status::not_found, "not_found", "there is nothing at that path");
  if (by == entrance::metrics && target.what != resource::metrics)
    return error_reply(status::not_found, "not_found", "this port has /metrics only");
  auto methods = methods_of(target.what);
  if (method != methods.verbs[0] && method != methods.verbs[1])
    return error_reply(status::method_not_allowed, "method_not_allowed", std::string("this path takes ") + methods.text)
      .with("Allow", methods.text);
  if (head.body_limit > 0) {
    auto wanted = target.what == resource::keyframes ? keyframe_type : json_type;
    if (!is_type(head.field(http::field::content_type), wanted))
      return error_reply(status::unsupported_media_type, "unsupported_media_type",
                         "content-type is '" + std::string(head.field(http::field::content_type).substr(0, 100)) + "', expected "
                           + std::string(wanted),
                         "Content-Type");
    if (auto coding = head.field(http::field::content_encoding); !coding.empty() && !equal_ignoring_case(coding, "identity"))
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

void answer(const std::shared_ptr<server_core>& core, const request_head& head, std::vector<std::byte> body,
            const return_address<strand>& back, reply_function reply) {
  if (!core->map_known)
    if (auto early = answer_before_map(*core, head.target))
      return reply(std::move(*early));
  const auto& service = core->running;
  switch (head.target.what) {
  case resource::asset:
    return reply(asset_reply(head));
  case resource::health:
    return reply(
      service.context.numbers->lost_core.load() == 0
        ? text_reply(status::ok, "ok\n")
        : text_reply(status::service_unavailable, "an actor is lost and cannot be started again: restart the service\n"));
  case resource::readiness:
    return ask_and_write<std::vector<actor_status>>(
      core, back, "the inspector", service.inspector.get(), std::move(reply),
      [core](const std::vector<actor_status>&) { return readiness(*core); }, status_atom::value);
  case resource::metrics:
    return reply(metrics_reply(*core));
  case resource::map:
    return ask_and_write<map_status>(
      core, back, "the partitioner", service.partitioner.get(), std::move(reply),
      [](const map_status& map) { return json_reply(to_text(to_json(map))); }, status_atom::value);
  case resource::regions:
    return ask_and_write<std::vector<region_status>>(
      core, back, "the partitioner", service.partitioner.get(), std::move(reply),
      [](const std::vector<region_status>& all) { return json_reply(to_text(to_json(all))); }, list_atom::value);
  case resource::actors:
    return ask_and_write<std::vector<actor_status>>(
      core, back, "the inspector", service.inspector.get(), std::move(reply),
      [](const std::vector<actor_status>& all) { return json_reply(to_text(to_json(all))); }, status_atom::value);
  case resource::cameras:
    return ask_and_write<std::vector<camera>>(
      core, back, "the broadcaster", service.broadcaster.get(), std::move(reply),
      [](const std::vector<camera>& all) { return json_reply(to_text(to_json(all))); }, camera_atom::value);
  case resource::aside:
    return reply(json_reply(to_text(to_json(service.context.numbers->set_aside.newest()))));
  case resource::region:
    return answer_region(core, head.target.region, back, std::move(reply));
  case resource::mesh:
    return core->meshes.ask_for(core, head.target.format, back, std::move(reply));
  case resource::keyframes:
    if (head.header.method() == http::verb::delete_)
      return answer_clearing(core, head, back, std::move(reply));
    return answer_keyframe(core, head, std::move(body), back, std::move(reply));
  case resource::keyframe:
  case resource::keyframe_pose:
    return answer_change(core, head, body, back, std::move(reply));
  case resource::stream:
  case resource::nothing:
    break;
  }
  reply(error_reply(status::not_found, "not_found", "there is nothing at that path"));
}

} // namespace tessera
