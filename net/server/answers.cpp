#include "net/server/answers.hpp"

#include "messages/json_depth.hpp"
#include "messages/names.hpp"
#include "net/base/bad_input.hpp"
#include "net/base/ignoring_case.hpp"
#include "net/base/percent.hpp"
#include "net/formats/json_text.hpp"
#include "net/formats/json_values.hpp"
#include "net/formats/patch_codec.hpp"
#include "net/formats/revisions.hpp"
#include "net/server/assets.hpp"
#include "net/server/build_info.hpp"
#include "net/server/http_rules.hpp"
#include "net/server/json_status.hpp"
#include "net/server/readiness.hpp"

#include <nlohmann/json.hpp>

#include <charconv>

namespace tessera {

namespace {

using http::status;

// Offers that wait for a slot block no thread, but each of them holds a body.
constexpr int max_waiting_offers = 64;

// <tessera-view>, which pages of other sites load.
constexpr std::string_view element_module = "/element.js";

http_reply asset_reply(const request_head& head, const std::string& frame_ancestors) {
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
  const auto packed = !file->gzip.empty() && accepts_coding(head.field(http::field::accept_encoding), "gzip");
  auto tag = file->etag;
  if (packed) // other bytes
    tag.insert(tag.size() - 1, "-gzip");
  out.with("ETag", tag).with("Vary", "Accept-Encoding");
  out.with("Cache-Control", file->immutable ? "public, max-age=31536000, immutable" : "no-cache");
  if (file->content_type.starts_with("text/html"))
    out
      .with("Content-Security-Policy", "default-src 'self'; script-src 'self' blob: 'wasm-unsafe-eval'; "
                                       "worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; "
                                       "img-src 'self' data: blob:; connect-src 'self' ws: wss: http: "
                                       "https: data: blob:; object-src 'none'; base-uri 'none'; "
                                       "frame-ancestors "
                                         + frame_ancestors)
      .with("Referrer-Policy", "no-referrer");
  if (head.target.path == element_module)
    out.with("Access-Control-Allow-Origin", "*").with("Cross-Origin-Resource-Policy", "cross-origin");
  if (packed)
    out.with("Content-Encoding", "gzip");
  out.body = shared_bytes{packed ? file->gzip : file->plain};
  return out;
}

template <class T>
http_reply in_json(const T& value) {
  return json_reply(json_text(value));
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
  case outcome::retracted:
    return json_reply(to_text({{"outcome", to_string(v.what)}}));
  case outcome::unknown:
    return error_reply(status::not_found, "unknown",
                       "there is no live keyframe of that id" + (v.reason.empty() ? "" : "; " + v.reason), "id");
  case outcome::not_now:
    return error_reply(status::service_unavailable, "not_now", v.reason);
  case outcome::conflict:
    return error_reply(status::conflict, "conflict", v.reason, "id");
  case outcome::refused:
    break;
  }
  return error_reply(status::unprocessable_entity, "refused", v.reason);
}

http_reply not_now(const server_core& core, hindered by) {
  return verdict_reply(core.running.context.numbers->count_not_now(std::move(by)));
}

template <class Answer, class Handle, class Write, class... Ts>
void ask_and_write(http_call& call, const char* name, const Handle& whom, Write write, Ts... message) {
  ask<Answer>(
    call.core->system, call.back, call.core->config.timeouts.ask, whom,
    [name, write, reply = std::move(call.reply)](std::optional<Answer> answer, const std::string& why) {
      reply(answer ? write(std::move(*answer)) : unavailable(name, why));
    },
    message...);
}

// Reads `{"pose": ..., "revision": N}`, or the pose alone. Throws bad_input.
void read_new_pose(const std::vector<std::byte>& body, revision& into) {
  const std::string_view text{reinterpret_cast<const char*>(body.data()), body.size()};
  const auto in
    = nests_deeper(text, 4) ? nlohmann::json(nlohmann::json::value_t::discarded) : nlohmann::json::parse(text, nullptr, false);
  if (in.is_discarded())
    throw bad_input("the body is not JSON");
  const auto part = [&](const char* name) { return in.is_object() && in.contains(name) ? &in[name] : nullptr; };
  const auto* wanted = part("pose");
  into.world_from_camera = pose_of(wanted ? *wanted : in, "pose");
  if (const auto* number = part("revision"))
    into.number = unsigned_of(*number, "revision");
}

// How many keyframes were moved, and what became of the others.
http_reply correction_reply(const verdict& v) {
  nlohmann::json counts{{"moved", v.keyframes},
                        {"duplicate", v.left.duplicate},
                        {"unknown", v.left.unknown},
                        {"refused", v.left.refused},
                        {"not_now", v.left.not_now}};
  if (!v.reason.empty())
    counts["reason"] = v.reason;
  if (v.what == outcome::accepted) {
    counts["outcome"] = to_string(v.what);
    return json_reply(to_text(counts));
  }
  if (v.what != outcome::not_now)
    return verdict_reply(v); // none of it was done
  counts["error"] = to_string(v.what);
  return json_reply(to_text(counts), status::service_unavailable).with("Retry-After", "1");
}

// A place among those that wait; given back when this object goes, also if nothing could be posted.
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
void offer(http_call& call, F act) {
  const auto& core = call.core;
  if (core->stopping)
    return call.reply(error_reply(status::service_unavailable, "closing", "the service is shutting down"));
  offer_place place{core};
  if (!place)
    return call.reply(
      error_reply(status::service_unavailable, "busy", "more keyframes wait than can be taken now; send this one again"));
  asio::post(core->offers,
             [core, place = std::move(place), back = call.back, reply = std::move(call.reply), act = std::move(act)]() mutable {
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

// Offers what needs no more reading.
void offer_input(http_call& call, map_input what) {
  offer(call, [core = call.core, what = std::move(what)](const auto&, keyframe_sink::completion done) mutable {
    core->sink.offer(std::move(what), std::move(done));
  });
}

http_reply bad_query(std::string_view why, std::string_view field) {
  return error_reply(status::bad_request, "bad_request", why, field);
}

// The keyframe that path and query name; nothing if the query is no good, which is answered then.
std::optional<keyframe_id> named_keyframe(const http_call& call) {
  std::string why, field;
  auto which = read_selection(call.head.target.query, {"session"}, why, field);
  if (!which) {
    call.reply(bad_query(why, field));
    return std::nullopt;
  }
  return keyframe_id{call.head.target.id, which->session.value_or("")};
}

} // namespace

void answer_asset(http_call& call) {
  call.reply(asset_reply(call.head, call.core->config.frame_ancestors));
}

void answer_health(http_call& call) {
  call.reply(call.core->running.context.numbers->lost_core.load() == 0
               ? text_reply(status::ok, "ok\n")
               : text_reply(status::service_unavailable, "an actor is lost and cannot be started again: restart the service\n"));
}

void answer_readiness(http_call& call) {
  if (!why_not_ready(*call.core).empty()) // also when no actor gets a turn
    return call.reply(readiness(*call.core));
  ask_and_write<std::vector<actor_status>>(
    call, "the inspector", call.core->running.inspector.get(),
    [core = call.core](const std::vector<actor_status>&) { return readiness(*core); }, status_atom::value);
}

void answer_metrics(http_call& call) {
  http_reply out;
  out.content_type = "text/plain; version=0.0.4; charset=utf-8";
  out.body = shared_bytes{call.core->numbers.text()};
  call.reply(std::move(out).with("Cache-Control", "no-store"));
}

void answer_status(http_call& call) {
  call.core->statuses.ask_for(call.core, call.head.target.what, call.back, std::move(call.reply));
}

void answer_aside(http_call& call) {
  call.reply(in_json(call.core->running.context.numbers->set_aside.newest()));
}

void answer_quarantine(http_call& call) {
  call.reply(in_json(call.core->running.context.numbers->quarantine.list()));
}

void answer_version(http_call& call) {
  call.reply(in_json(this_build()));
}

void answer_mesh(http_call& call) {
  call.core->meshes.ask_for(call.core, call.head.target.format, call.back, std::move(call.reply));
}

void answer_region(http_call& call) {
  ask_and_write<patch>(
    call, "the broadcaster", call.core->running.broadcaster.get(),
    [epoch = call.core->running.epoch](const patch& newest) {
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
    patch_atom::value, call.head.target.region);
}

void answer_keyframe(http_call& call) {
  const auto& head = call.head;
  auto refuse = [&call](std::string_view why, std::string_view field) {
    call.reply(error_reply(status::bad_request, "bad_request", why, field));
  };
  auto id = percent_decoded(keyframe_field(head, "Keyframe-Id"));
  if (!id || id->empty() || id->size() > keyframe_id::max_bytes)
    return refuse(!id           ? "the keyframe's id has a broken escape: %XX"
                  : id->empty() ? "the keyframe has no id"
                                : "the keyframe's id has " + std::to_string(id->size()) + " bytes, at most "
                                    + std::to_string(keyframe_id::max_bytes) + " can be",
                  "X-Keyframe-Id");
  auto stamp = keyframe_field(head, "Timestamp-Ns");
  uint64_t timestamp_ns = 0;
  if (!stamp.empty()) {
    auto [end, failed] = std::from_chars(stamp.data(), stamp.data() + stamp.size(), timestamp_ns);
    if (failed != std::errc{} || end != stamp.data() + stamp.size())
      return refuse("the timestamp is not a whole number of nanoseconds", "X-Timestamp-Ns");
  }
  const auto session = percent_decoded(keyframe_field(head, "Session")), group = percent_decoded(keyframe_field(head, "Group"));
  if (auto fault = session ? fault_of_session(*session) : std::optional<std::string>{"session has a broken escape: %XX"})
    return refuse(*fault, "Tessera-Session");
  if (auto fault = group ? fault_of_group(*group) : std::optional<std::string>{"group has a broken escape: %XX"})
    return refuse(*fault, "Tessera-Group");
  offer(call, [core = call.core, id = std::move(*id), session = *session, group = *group, timestamp_ns,
               body = std::move(call.body)](const auto& respond, keyframe_sink::completion done) mutable {
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

void answer_clearing(http_call& call) {
  std::string why, field;
  auto which = read_selection(call.head.target.query, {"session", "source", "group", "before"}, why, field);
  if (!which)
    return call.reply(bad_query(why, field));
  offer(call, [core = call.core, which = std::move(*which)](const auto& respond, const auto&) mutable {
    core->sink.retract_all(std::move(which), [respond](const verdict& v) {
      respond(v.what == outcome::accepted ? json_reply(to_text({{"outcome", to_string(v.what)}, {"keyframes", v.keyframes}}))
                                          : verdict_reply(v));
    });
  });
}

void answer_retraction(http_call& call) {
  if (const auto id = named_keyframe(call))
    offer_input(call, retraction{*id});
}

void answer_revision(http_call& call) {
  const auto id = named_keyframe(call);
  if (!id)
    return;
  revision to{*id, {}};
  try {
    read_new_pose(call.body, to);
  } catch (const bad_input& e) {
    return call.reply(error_reply(status::bad_request, "bad_request", e.what(), "pose"));
  }
  offer_input(call, std::move(to));
}

void answer_correction(http_call& call) {
  const auto is_msgpack = !is_content_type(call.head.field(http::field::content_type), "application/json");
  offer(call, [core = call.core, is_msgpack, body = std::move(call.body)](const auto& respond, const auto&) {
    correction what;
    try {
      what = read_revisions_body(body, is_msgpack);
    } catch (const bad_input& e) {
      return respond(error_reply(status::bad_request, "bad_request", e.what(), "revisions"));
    }
    core->sink.correct(std::move(what), [respond](const verdict& v) { respond(correction_reply(v)); });
  });
}

} // namespace tessera
