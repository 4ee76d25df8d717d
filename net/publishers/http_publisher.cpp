#include "net/publishers/http_publisher.hpp"

#include "net/base/percent.hpp"
#include "net/base/side_call.hpp"
#include "net/base/utf8.hpp"
#include "net/formats/revisions.hpp"
#include "net/publishers/patience.hpp"
#include "net/publishers/producer_view.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>

#include <charconv>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <system_error>

namespace tessera {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

namespace {

constexpr std::chrono::seconds operation_limit{30};
/// A service takes 32 MiB, if its settings do not say less. What is cut into several is seen in as many steps.
constexpr size_t most_correction_bytes = size_t{16} << 20;
/// How long a stop may wait to be seen.
constexpr std::chrono::milliseconds step{100};

struct http_address {
  std::string host, port, path, token;
  /// Host and port as a URL and a request have them.
  [[nodiscard]] std::string authority() const {
    return (host.find(':') == std::string::npos ? host : '[' + host + ']') + ':' + port;
  }
};

http_address parse_http_url(const std::string& url) {
  auto refuse = [&](const char* why) {
    // Neither a token nor what somebody took for a user's password is repeated.
    auto shown = url.substr(0, url.find('?'));
    if (const auto user = shown.find('@'); user != std::string::npos)
      shown = "http://..." + shown.substr(user);
    throw std::invalid_argument("the service's address '" + printable(shown) + "' " + why
                                + "; it must be http://HOST:PORT, or http://HOST:PORT/?token=TOKEN");
  };
  constexpr std::string_view scheme = "http://";
  std::string_view rest = url;
  rest.remove_prefix(scheme.size());
  http_address a;
  if (auto mark = rest.find('?'); mark != std::string_view::npos) {
    constexpr std::string_view name = "token=";
    auto query = rest.substr(mark + 1);
    rest = rest.substr(0, mark);
    auto token = query.starts_with(name) ? percent_decoded(query.substr(name.size())) : std::nullopt;
    if (!token || query.find('&') != std::string_view::npos)
      refuse("has something after its ? that is not token=TOKEN");
    a.token = *token;
  }
  auto slash = rest.find('/');
  auto authority = rest.substr(0, slash);
  a.path = slash == std::string_view::npos ? "" : std::string(rest.substr(slash));
  while (a.path.ends_with('/'))
    a.path.pop_back();
  if (authority.find('@') != std::string_view::npos)
    refuse("has a user, where a token is wanted");
  auto colon = authority.rfind(':');
  if (authority.starts_with('[')) {
    auto end = authority.find(']');
    if (end == std::string_view::npos)
      refuse("has a [ without its ]");
    a.host = authority.substr(1, end - 1);
    colon = end + 1 < authority.size() && authority[end + 1] == ':' ? end + 1 : std::string_view::npos;
  } else {
    a.host = authority.substr(0, colon);
  }
  a.port = colon == std::string_view::npos ? "80" : std::string(authority.substr(colon + 1));
  if (a.host.empty())
    refuse("has no host");
  unsigned port = 0;
  const auto [end, error] = std::from_chars(a.port.data(), a.port.data() + a.port.size(), port);
  if (error != std::errc{} || end != a.port.data() + a.port.size() || port == 0 || port > 65535)
    refuse("has a port that is no number from 1 to 65535");
  if (a.path.find('#') != std::string::npos)
    refuse("has a #, after which nothing is sent");
  return a;
}

class http_publisher final : public publisher {
public:
  http_publisher(const std::string& url, const publish_options& options, std::stop_token stop)
    : address_(parse_http_url(url)), options_(options), stop_(std::move(stop)) {
    if (!address_.token.empty())
      options_.token = address_.token;
    for (char c : options_.token)
      if (c < 33 || c > 126)
        throw std::invalid_argument("the token must be printable ASCII without blanks");
  }

  [[nodiscard]] std::string where() const override { return "http://" + address_.authority() + address_.path; }

  void offer(map_input what, completion done) override {
    verdict v;
    try {
      v = send(std::visit([this](const auto& one) { return request_for(one); }, what));
    } catch (const std::invalid_argument& e) {
      v = {outcome::refused, e.what()}; // the keyframe itself will not do
    }
    finish(id_of(what), done, v);
    end_if_turned_away(v);
  }
  void correct(correction what, completion done) override {
    verdict v;
    for (auto& body : revisions_bodies(what, most_correction_bytes)) {
      v = send(request_for(http::verb::post, ":revise", "application/msgpack", std::move(body)));
      if (v.what != outcome::accepted)
        break;
    }
    finish_many(done, v);
    end_if_turned_away(v);
  }

private:
  using request = http::request<http::string_body>;
  using response = http::response<http::string_body>;

  static std::string path_of(const keyframe_id& id, const char* below) {
    return '/' + percent_encoded(id.value) + below + (id.session.empty() ? "" : "?session=" + percent_encoded(id.session));
  }

  [[nodiscard]] request request_for(const keyframe& frame) const {
    auto r = request_for(http::verb::post, "", producer::keyframe_content_type, producer::message_body(producer_view(frame)));
    r.set("X-Keyframe-Id", percent_encoded(frame.id.value));
    r.set("X-Timestamp-Ns", std::to_string(frame.timestamp_ns));
    if (!frame.id.session.empty())
      r.set("Tessera-Session", percent_encoded(frame.id.session));
    if (!frame.group.empty())
      r.set("Tessera-Group", percent_encoded(frame.group));
    return r;
  }
  [[nodiscard]] request request_for(const retraction& of) const {
    return request_for(http::verb::delete_, path_of(of.id, ""), nullptr, {});
  }
  [[nodiscard]] request request_for(const revision& to) const {
    nlohmann::json body{{"pose", to.world_from_camera.m}};
    if (to.number)
      body["revision"] = *to.number;
    return request_for(http::verb::put, path_of(to.id, "/pose"), "application/json", body.dump());
  }

  /// `below`: the path after that of all keyframes.
  [[nodiscard]] request request_for(http::verb verb, const std::string& below, const char* content_type, std::string body) const {
    request r(verb, address_.path + "/v1/keyframes" + below, 11);
    r.set(http::field::host, address_.authority());
    r.set(http::field::accept, "application/json");
    if (content_type != nullptr)
      r.set(http::field::content_type, content_type);
    if (!options_.token.empty())
      r.set(http::field::authorization, "Bearer " + options_.token);
    r.keep_alive(true);
    r.body() = std::move(body);
    r.prepare_payload();
    return r;
  }

  /// Whether the same request may be taken later: the service is busy, or a proxy before it does not reach it.
  static bool may_pass(http::status answer) {
    switch (answer) {
    case http::status::request_timeout:
    case http::status::too_many_requests:
    case http::status::bad_gateway:
    case http::status::service_unavailable:
    case http::status::gateway_timeout:
      return true;
    default:
      return false;
    }
  }

  /// Nothing else would get through: whoever sends shall not go on, and keeps what he has.
  void end_if_turned_away(const verdict& v) {
    const std::lock_guard lock(mutex_);
    if (turned_away_)
      throw std::runtime_error(v.reason);
  }

  /// Asks until there is an answer that stands, or patience is over.
  verdict send(const request& r) {
    std::lock_guard lock(mutex_);
    patience left(options_.patience, stop_);
    do {
      try {
        auto answer = ask(r, left);
        auto code = answer.result_int();
        if (code / 100 == 2)
          return verdict_in(answer);
        if (answer.result() == http::status::not_found && r.method() != http::verb::post)
          return {outcome::unknown, reason_in(answer)};
        if (answer.result() == http::status::conflict)
          return {outcome::conflict, reason_in(answer)};
        if (answer.result() == http::status::unauthorized || answer.result() == http::status::forbidden) {
          turned_away_ = true; // it is not the keyframe that will not do
          return {outcome::not_now, where() + " lets nobody in so (" + reason_in(answer)
                                      + "); set TESSERA_TOKEN to its token, or say --to " + where() + "?token=TOKEN"};
        }
        if (!may_pass(answer.result()))
          return {outcome::refused, reason_in(answer)};
        left.note(where() + " is busy: " + reason_in(answer));
      } catch (const boost::system::system_error& e) {
        stream_.reset();
        left.note(where() + " does not answer: " + e.code().message());
      } catch (const std::system_error& e) { // no thread, no descriptor
        stream_.reset();
        left.note(e.what());
      }
    } while (left.pause());
    return left.given_up();
  }

  response ask(const request& r, patience& left) {
    if (!stream_) {
      auto ends = look_up(left);
      stream_.emplace(io_);
      complete(left, [&](auto done) { stream_->async_connect(ends, [done](auto error, const auto&) { done(error); }); });
      stream_->socket().set_option(asio::ip::tcp::no_delay(true));
    }
    complete(left, [&](auto done) { http::async_write(*stream_, r, [done](auto error, size_t) { done(error); }); });
    http::response_parser<http::string_body> parser;
    parser.body_limit(1 << 20);
    beast::flat_buffer buffer;
    complete(left, [&](auto done) { http::async_read(*stream_, buffer, parser, [done](auto error, size_t) { done(error); }); });
    auto answer = parser.release();
    if (!answer.keep_alive())
      stream_.reset();
    return answer;
  }

  using endpoints = asio::ip::tcp::resolver::results_type;

  /// Looks up the host's addresses; Asio's own look-up could not be left before its end.
  endpoints look_up(patience& left) {
    side_call<endpoints> call([host = address_.host, port = address_.port](const std::stop_token&) {
      asio::io_context io;
      return asio::ip::tcp::resolver(io).resolve(host, port);
    });
    const auto begin = patience::clock::now();
    while (!call.wait_for(step, stop_)) {
      if (left.over())
        throw boost::system::system_error(asio::error::host_not_found_try_again);
      if (patience::clock::now() - begin >= std::chrono::seconds(1)) // else why the last try failed tells more
        left.note("looking for the host " + address_.host);
    }
    return call.take();
  }

  /// Runs one operation to its end, its time limit (which Beast has for asynchronous ones only) or a stop. Throws its error.
  template <class F>
  void complete(patience& left, F start) {
    boost::system::error_code result = asio::error::operation_aborted;
    stream_->expires_after(operation_limit);
    start([&](const boost::system::error_code& error) { result = error; });
    io_.restart();
    while (io_.run_for(step), !io_.stopped()) {
      if (stop_.stop_requested())
        stream_->close();
      else
        left.note(where() + " does not answer");
    }
    if (result)
      throw boost::system::system_error(result);
  }

  static nlohmann::json json_in(const response& answer) {
    auto json = nlohmann::json::parse(answer.body(), nullptr, false);
    return json.is_object() ? json : nlohmann::json::object();
  }

  static verdict verdict_in(const response& answer) {
    auto json = json_in(answer);
    auto found = json.find("outcome");
    auto is = [&](const char* what) { return found != json.end() && found->is_string() && *found == what; };
    return {is("duplicate")   ? outcome::duplicate
            : is("dropped")   ? outcome::dropped
            : is("retracted") ? outcome::retracted
                              : outcome::accepted,
            {}};
  }

  static std::string reason_in(const response& answer) {
    auto text = std::to_string(answer.result_int()) + " " + std::string(answer.reason());
    auto json = json_in(answer);
    for (const char* key : {"reason", "error", "message"})
      if (auto found = json.find(key); found != json.end() && found->is_string())
        return text + ": " + found->get<std::string>();
    return answer.body().empty() ? text : text + ": " + printable(answer.body(), 200);
  }

  http_address address_;
  publish_options options_;
  std::stop_token stop_;
  std::mutex mutex_;
  asio::io_context io_;
  std::optional<beast::tcp_stream> stream_;
  bool turned_away_ = false;
};

} // namespace

std::unique_ptr<publisher> make_http_publisher(const std::string& url, const publish_options& options, std::stop_token stop) {
  return std::make_unique<http_publisher>(url, options, std::move(stop));
}

} // namespace tessera
